package pki

import (
	"encoding/base64"
	"fmt"
	"os"

	"mariadb-backup/ground/internal/layout"
)

// MakeAll makes everything the ground's programs need to know each other.
func MakeAll(l layout.Layout) error {
	authority, err := NewAuthority(l)
	if err != nil {
		return err
	}
	for _, identity := range identities() {
		if err := authority.Issue(identity); err != nil {
			return fmt.Errorf("cannot make certificate %s: %w", identity.File, err)
		}
	}
	return nil
}

func identities() []Identity {
	all := []Identity{
		{File: "apiserver", Name: "kube-apiserver", Hosts: []string{
			"localhost", "127.0.0.1", layout.ControlIP, "10.96.0.1",
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}},
		{File: "apiserver-kubelet", Name: "kube-apiserver", Group: "system:masters"},
		{File: "service-accounts", Name: "service-accounts"},
		{File: "admin", Name: "ground-admin", Group: "system:masters"},
		{File: "controller-manager", Name: "system:kube-controller-manager"},
		{File: "scheduler", Name: "system:kube-scheduler"},
		{File: "kube-proxy", Name: "system:kube-proxy"},
	}
	for n := 1; n <= layout.NodeCount; n++ {
		name := layout.NodeName(n)
		all = append(all,
			Identity{File: name, Name: "system:node:" + name, Group: "system:nodes"},
			Identity{File: name + "-serving", Name: "system:node:" + name, Hosts: []string{name, layout.NodeIP(n)}})
	}
	return all
}

// WriteKubeconfig writes a kubeconfig that holds all it needs in itself.
func WriteKubeconfig(l layout.Layout, path, identity, server string) error {
	var parts []any
	for _, file := range []string{"ca.crt", identity + ".crt", identity + ".key"} {
		content, err := os.ReadFile(l.PKI(file))
		if err != nil {
			return err
		}
		parts = append(parts, base64.StdEncoding.EncodeToString(content))
	}
	text := fmt.Sprintf(kubeconfig, append([]any{server}, parts...)...)
	return layout.WriteFile(path, []byte(text), 0o600)
}

const kubeconfig = `apiVersion: v1
kind: Config
current-context: ground
clusters:
- name: ground
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: ground
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: ground
  context:
    cluster: ground
    user: ground
    namespace: demo
`
