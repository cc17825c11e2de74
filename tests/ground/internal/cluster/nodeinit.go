package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mariadb-backup/ground/internal/images"
	"mariadb-backup/ground/internal/layout"
)

// NodeInit is the first process of a node. It mounts what is the node's own,
// starts the node's daemons, starts them again when they end, and reaps.
//
// It never ends by itself; the node lives exactly as long as it.
func NodeInit(l layout.Layout, n int, kube string) error {
	if err := mountNode(l, n); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(layout.NodeName(n))); err != nil {
		return err
	}
	if err := forgetLeases("/var/lib/cni/networks"); err != nil {
		return err
	}
	supervisor := &supervisor{layout: l, node: n, running: map[int]daemon{}}
	if err := supervisor.start(daemon{"containerd", "containerd", []string{"--config", l.Node(n, "containerd.toml")}}); err != nil {
		return err
	}
	if err := waitForSocket(images.ContainerdSocket, 20*time.Second); err != nil {
		return err
	}
	for _, daemon := range nodeDaemons(l, n, kube) {
		if err := supervisor.start(daemon); err != nil {
			return err
		}
	}
	return supervisor.reapForever()
}

// forgetLeases gives back the addresses of pods that were there when the power was lost; nobody else
// would. Which address was the last one given stays known: the network of a dead pod vanishes late,
// and takes the route of a new pod with it that got the same address.
func forgetLeases(folder string) error {
	leases, err := filepath.Glob(filepath.Join(folder, "*", "*"))
	if err != nil {
		return err
	}
	for _, lease := range leases {
		if strings.HasPrefix(filepath.Base(lease), "last_reserved_ip") {
			continue
		}
		if err := os.Remove(lease); err != nil {
			return err
		}
	}
	return nil
}

func mountNode(l layout.Layout, n int) error {
	// Slave: volumes mounted on the machine later come in, nothing goes out.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	for _, place := range []string{"/run", "/mnt"} {
		if err := unix.Mount("tmpfs", place, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("cannot mount %s: %w", place, err)
		}
	}
	binds := map[string]string{"hostpath": HostPath}
	for folder, place := range nodeFolders {
		binds[folder] = place
	}
	for folder, place := range binds {
		if err := os.MkdirAll(place, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(l.Node(n, folder), place, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("cannot mount %s: %w", place, err)
		}
	}
	for _, folder := range []string{"/run/containerd", "/run/netns"} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	// The kubelet's mounts must reach the containers.
	return unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, "")
}

func waitForSocket(path string, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not there after %s", path, limit)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

type daemon struct {
	name      string
	program   string
	arguments []string
}

func nodeDaemons(l layout.Layout, n int, kube string) []daemon {
	return []daemon{
		{"kubelet", filepath.Join(kube, "kubelet"), []string{
			"--config=" + l.Node(n, "kubelet.yaml"), "--kubeconfig=" + l.Node(n, "kubelet.kubeconfig"),
			"--hostname-override=" + layout.NodeName(n), "--node-ip=" + layout.NodeIP(n),
			"--node-labels=topology.kubernetes.io/zone=" + layout.NodeName(n),
		}},
		{"kube-proxy", filepath.Join(kube, "kube-proxy"), []string{"--config=" + l.Node(n, "kube-proxy.yaml")}},
	}
}

type supervisor struct {
	layout  layout.Layout
	node    int
	running map[int]daemon
}

func (s *supervisor) start(d daemon) error {
	log, err := os.OpenFile(s.layout.Log(layout.NodeName(s.node)+"-"+d.name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	program, err := exec.LookPath(d.program)
	if err != nil {
		return err
	}
	// Not os/exec: its Wait and the reaping below would take each other's children.
	pid, err := syscall.ForkExec(program, append([]string{d.name}, d.arguments...), &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("cannot start %s: %w", d.name, err)
	}
	s.running[pid] = d
	return nil
}

func (s *supervisor) reapForever() error {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot wait for the node's processes: %w", err)
		}
		ended, ours := s.running[pid]
		if !ours {
			continue
		}
		delete(s.running, pid)
		// What systemd would do with Restart=always, RestartSec=1.
		time.Sleep(time.Second)
		if err := s.start(ended); err != nil {
			return err
		}
	}
}
