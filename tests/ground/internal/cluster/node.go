package cluster

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"text/template"

	"golang.org/x/sys/unix"

	"mariadb-backup/ground/internal/build"
	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/images"
	"mariadb-backup/ground/internal/layout"
	"mariadb-backup/ground/internal/pki"
)

//go:embed config
var configs embed.FS

// nodeFolders are the usual places of a node's programs; in each node its own
// folder lies there.
var nodeFolders = map[string]string{
	"containerd": "/var/lib/containerd",
	"kubelet":    "/var/lib/kubelet",
	"cni":        "/var/lib/cni",
	"pods":       "/var/log/pods",
	"containers": "/var/log/containers",
}

// HostPath is the folder of each node that hostPath volumes may use.
const HostPath = "/mnt/backup"

// workloadID is the uid and gid of everything that touches MariaDB's files.
const workloadID = 999

// prepareNode makes a node's folders, configuration and containerd root.
func prepareNode(l layout.Layout, n int, golden string) error {
	for folder := range nodeFolders {
		if folder == "containerd" {
			continue
		}
		if err := os.MkdirAll(l.Node(n, folder), 0o755); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(l.Node(n, "hostpath"), 0o755); err != nil {
		return err
	}
	// The kubelet applies no fsGroup to hostPath volumes.
	if err := os.Chown(l.Node(n, "hostpath"), workloadID, workloadID); err != nil {
		return err
	}
	if err := writeNodeConfig(l, n); err != nil {
		return err
	}
	return images.CloneGolden(golden, l.Node(n, "containerd"))
}

func writeNodeConfig(l layout.Layout, n int) error {
	name := layout.NodeName(n)
	for file, identity := range map[string]string{"kubelet.kubeconfig": name, "kube-proxy.kubeconfig": "kube-proxy"} {
		if err := pki.WriteKubeconfig(l, l.Node(n, file), identity, controlServer); err != nil {
			return err
		}
	}
	values := map[string]string{
		"IP": layout.NodeIP(n), "Name": name, "PodSubnet": layout.NodePodSubnet(n),
		"CA": l.PKI("ca.crt"), "CgroupRoot": host.CgroupRoot, "Pause": images.PauseReference,
		"ServingCertificate": l.PKI(name + "-serving.crt"), "ServingKey": l.PKI(name + "-serving.key"),
		"ResolvConf": l.Node(n, "resolv.conf"), "ProxyKubeconfig": l.Node(n, "kube-proxy.kubeconfig"),
		"CNI": l.Node(n, "cni.d"),
	}
	targets := map[string]string{
		"kubelet.yaml": "kubelet.yaml", "kube-proxy.yaml": "kube-proxy.yaml",
		"containerd.toml": "containerd.toml", "cni.conflist": "cni.d/ground.conflist",
	}
	for source, target := range targets {
		if err := writeConfig(source, l.Node(n, target), values); err != nil {
			return err
		}
	}
	return layout.WriteFile(l.Node(n, "resolv.conf"), nil, 0o644)
}

func writeConfig(source, target string, values map[string]string) error {
	parsed, err := template.New(source).Option("missingkey=error").ParseFS(configs, "config/"+source)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := parsed.Execute(&text, values); err != nil {
		return fmt.Errorf("cannot fill in %s: %w", filepath.Base(source), err)
	}
	return layout.WriteFile(target, text.Bytes(), 0o644)
}

// makeNodeFolders makes the mount points that are not on the machine yet, and
// returns them, so that they can go again.
func makeNodeFolders() ([]string, error) {
	var made []string
	for _, folder := range nodeFolders {
		if _, err := os.Stat(folder); err == nil {
			continue
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return made, err
		}
		made = append(made, folder)
	}
	return made, nil
}

// PowerOn starts a node: one process with namespaces of its own, in which
// everything else of the node runs. Killing it is a loss of power.
func PowerOn(l layout.Layout, programs build.Programs, n int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// Groups left by a lost node would cost the new kubelet seconds each.
	if err := host.RemoveCgroups(layout.NodeName(n)); err != nil {
		return err
	}
	if err := host.MakeNodeCgroups(layout.NodeName(n)); err != nil {
		return err
	}
	if err := SetNodeLink(n, true); err != nil {
		return err
	}
	return host.Start(l, host.Daemon{
		Name:       layout.NodeName(n),
		Netns:      layout.NodeNetns(n),
		Program:    self,
		Arguments:  []string{"internal-node", fmt.Sprint(n), programs.Kube},
		CloneFlags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS,
	})
}

// PowerOff takes the power from a node: all its processes are gone at once and
// its address answers nobody.
func PowerOff(l layout.Layout, n int) error {
	if err := host.Stop(l, layout.NodeName(n), syscall.SIGKILL); err != nil {
		return err
	}
	if err := SetNodeLink(n, false); err != nil {
		return err
	}
	return host.RemoveCgroups(layout.NodeName(n))
}

// InNode returns the arguments of nsenter for running something in a node.
func InNode(l layout.Layout, n int) ([]string, error) {
	pid, alive := host.PID(l, layout.NodeName(n))
	if !alive {
		return nil, fmt.Errorf("%s is off", layout.NodeName(n))
	}
	return []string{"--target", fmt.Sprint(pid), "--mount", "--pid", "--uts", "--net", "--"}, nil
}

// RunInNode runs a program in a node and returns what it printed.
func RunInNode(l layout.Layout, n int, program ...string) (string, error) {
	arguments, err := InNode(l, n)
	if err != nil {
		return "", err
	}
	return host.Run("nsenter", append(arguments, program...)...)
}
