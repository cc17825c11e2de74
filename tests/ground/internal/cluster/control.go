package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"mariadb-backup/ground/internal/api"
	"mariadb-backup/ground/internal/build"
	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/layout"
	"mariadb-backup/ground/internal/pki"
)

// ControlDaemons are the processes of the control plane.
var ControlDaemons = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "forwarder"}

// admissionConfig says who is held to Pod Security.
const admissionConfig = "admission.yaml"

const controlServer = "https://" + apiTarget

// startControl starts one program of the control plane.
func startControl(l layout.Layout, programs build.Programs, name string) error {
	return host.Start(l, host.Daemon{
		Name:      name,
		Netns:     layout.ControlNetns,
		Program:   filepath.Join(programs.Kube, name),
		Arguments: controlArguments(l, name),
	})
}

// StartAPI starts etcd and the API server, which waits for etcd by itself.
func StartAPI(l layout.Layout, programs build.Programs) error {
	if err := writeConfig(admissionConfig, l.Config(admissionConfig), nil); err != nil {
		return err
	}
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if err := startControl(l, programs, name); err != nil {
			return err
		}
	}
	return nil
}

// StartMissing starts what was killed of a control plane that is up otherwise.
func StartMissing(l layout.Layout, programs build.Programs) error {
	for _, name := range []string{"kube-apiserver", "kube-scheduler"} {
		if _, alive := host.PID(l, name); alive {
			continue
		}
		if err := startControl(l, programs, name); err != nil {
			return err
		}
	}
	return nil
}

// WaitForAPI waits until the API server says it is ready.
func WaitForAPI(l layout.Layout, client *api.Client) error { return waitForAPI(l, client, apiLimit) }

// startControllers starts what exits when the API is not ready.
func startControllers(l layout.Layout, programs build.Programs) error {
	for name, identity := range map[string]string{
		"kube-controller-manager": "controller-manager", "kube-scheduler": "scheduler",
	} {
		if err := pki.WriteKubeconfig(l, l.Config(name+".kubeconfig"), identity, controlServer); err != nil {
			return err
		}
		if err := startControl(l, programs, name); err != nil {
			return err
		}
	}
	return nil
}

func controlArguments(l layout.Layout, name string) []string {
	switch name {
	case "etcd":
		return []string{
			"--data-dir=" + l.Etcd(), "--unsafe-no-fsync", "--log-level=warn",
			"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
			"--listen-peer-urls=http://127.0.0.1:2380",
		}
	case "kube-apiserver":
		return apiServerArguments(l)
	case "kube-controller-manager":
		return []string{
			"--kubeconfig=" + l.Config(name+".kubeconfig"), "--leader-elect=false",
			"--service-account-private-key-file=" + l.PKI("service-accounts.key"),
			"--root-ca-file=" + l.PKI("ca.crt"), "--use-service-account-credentials",
			// With the default limits its controllers start four seconds later.
			"--kube-api-qps=300", "--kube-api-burst=600",
			"--node-monitor-grace-period=20s",
		}
	default:
		return []string{
			"--kubeconfig=" + l.Config(name+".kubeconfig"), "--leader-elect=false",
			"--kube-api-qps=100", "--kube-api-burst=200",
		}
	}
}

func apiServerArguments(l layout.Layout) []string {
	return []string{
		"--etcd-servers=http://127.0.0.1:2379",
		"--advertise-address=" + layout.ControlIP,
		"--service-cluster-ip-range=10.96.0.0/16",
		// Not the Node authorizer: its view lags behind fresh pods, which the
		// kubelet then drops for ten seconds and more.
		"--authorization-mode=RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--admission-control-config-file=" + l.Config(admissionConfig),
		"--allow-privileged",
		"--kubelet-preferred-address-types=InternalIP",
		"--tls-cert-file=" + l.PKI("apiserver.crt"), "--tls-private-key-file=" + l.PKI("apiserver.key"),
		"--client-ca-file=" + l.PKI("ca.crt"),
		"--kubelet-certificate-authority=" + l.PKI("ca.crt"),
		"--kubelet-client-certificate=" + l.PKI("apiserver-kubelet.crt"),
		"--kubelet-client-key=" + l.PKI("apiserver-kubelet.key"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + l.PKI("service-accounts.crt"),
		"--service-account-signing-key-file=" + l.PKI("service-accounts.key"),
		"--profiling=false",
	}
}

// errAPINotReady is what an API server that never comes up ends in.
var errAPINotReady = errors.New("the API server did not become ready")

func waitForAPI(l layout.Layout, client *api.Client, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for !client.Ready() {
		if _, alive := host.PID(l, "kube-apiserver"); !alive {
			return fmt.Errorf("the API server ended at once, see %s", l.Log("kube-apiserver"))
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w within %s, see %s", errAPINotReady, limit, l.Log("kube-apiserver"))
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}
