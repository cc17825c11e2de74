package ground

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mariadb-backup/ground/internal/build"
	"mariadb-backup/ground/internal/cluster"
	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/layout"
)

// ParseNode reads a node as people write it: 2 or node-2.
func ParseNode(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(text, "node-"))
	if err != nil || n < 1 || n > layout.NodeCount {
		return 0, fmt.Errorf("%q is not a node; they are 1 to %d", text, layout.NodeCount)
	}
	return n, nil
}

// NodeOff takes the power from a node.
func (g *Ground) NodeOff(n int) error {
	return g.inject(faultNodeOff, fmt.Sprint(n), func() error { return cluster.PowerOff(g.Layout, n) })
}

func (g *Ground) nodeOn(on string) error {
	n, err := ParseNode(on)
	if err != nil {
		return err
	}
	if _, alive := host.PID(g.Layout, layout.NodeName(n)); alive {
		return nil
	}
	programs, err := build.MakePrograms(g.Layout)
	if err != nil {
		return err
	}
	return cluster.PowerOn(g.Layout, programs, n)
}

// KubeletStop makes a node's kubelet hang, as a process that gets no time.
func (g *Ground) KubeletStop(n int) error {
	return g.inject(faultKubeletStop, fmt.Sprint(n), func() error { return g.signalKubelet(n, syscall.SIGSTOP) })
}

func (g *Ground) kubeletStart(on string) error {
	n, err := ParseNode(on)
	if err != nil {
		return err
	}
	if _, alive := host.PID(g.Layout, layout.NodeName(n)); !alive {
		return nil
	}
	return g.signalKubelet(n, syscall.SIGCONT)
}

func (g *Ground) signalKubelet(n int, signal syscall.Signal) error {
	processes, err := host.Processes()
	if err != nil {
		return err
	}
	netns := host.NetnsIdentity(layout.NodeNetns(n))
	for _, process := range processes {
		if process.Name == "kubelet" && process.Netns == netns {
			return syscall.Kill(process.PID, signal)
		}
	}
	return fmt.Errorf("%s has no kubelet", layout.NodeName(n))
}

// Partition pulls a node's cable; its processes live on.
func (g *Ground) Partition(n int) error {
	return g.inject(faultPartition, fmt.Sprint(n), func() error { return cluster.SetNodeLink(n, false) })
}

func (g *Ground) heal(on string) error {
	n, err := ParseNode(on)
	if err != nil {
		return err
	}
	return cluster.SetNodeLink(n, true)
}

// apiDownDaemon brings the API server back when its time is up.
const apiDownDaemon = "fault-api-down"

// APIDown kills the API server and starts it again after a time; with none, it
// stays away until the fault is undone.
func (g *Ground) APIDown(self string, outage time.Duration) error {
	return g.inject(faultAPIDown, "", func() error {
		if err := host.Stop(g.Layout, "kube-apiserver", syscall.SIGKILL); err != nil {
			return err
		}
		if outage <= 0 {
			return nil
		}
		return host.Start(g.Layout, host.Daemon{
			Name: apiDownDaemon, Program: self,
			Arguments: []string{"internal-undo-after", outage.String(), faultName(faultAPIDown, "")},
		})
	})
}

func (g *Ground) apiUp(string) error {
	// One that is undone early must not come and undo the next.
	if pid, alive := host.PID(g.Layout, apiDownDaemon); alive && pid != os.Getpid() {
		if err := host.Stop(g.Layout, apiDownDaemon, syscall.SIGKILL); err != nil {
			return err
		}
	}
	if _, alive := host.PID(g.Layout, "kube-apiserver"); alive {
		return nil
	}
	programs, err := build.MakePrograms(g.Layout)
	if err != nil {
		return err
	}
	return cluster.StartMissing(g.Layout, programs)
}

// UndoAfter undoes a fault when its time is up, unless that was done by then.
func (g *Ground) UndoAfter(outage time.Duration, name string) error {
	time.Sleep(outage)
	if !fileExists(g.faultFile(name)) {
		return nil
	}
	return g.UndoFault(name)
}

// KillContainer sends a signal to the first process of a container, or to all
// its processes of a name, and returns how many it reached.
func (g *Ground) KillContainer(namespace, pod, container, process string, signal syscall.Signal) (int, error) {
	pids, err := g.containerProcesses(namespace, pod, container)
	if err != nil {
		return 0, err
	}
	reached := 0
	for _, pid := range pids {
		if process == "" && !isContainerInit(pid) || process != "" && processName(pid) != process {
			continue
		}
		if err := syscall.Kill(pid, signal); err != nil {
			return reached, fmt.Errorf("cannot signal process %d of %s: %w", pid, pod, err)
		}
		reached++
	}
	if reached == 0 {
		return 0, fmt.Errorf("container %s of pod %s has no such process", container, pod)
	}
	return reached, nil
}

// containerProcesses returns the pids, as this machine sees them, of a running
// container; an empty name is the pod's first.
func (g *Ground) containerProcesses(namespace, name, container string) ([]int, error) {
	pod, err := g.pod(namespace, name)
	if err != nil {
		return nil, err
	}
	id := pod.containerID(container)
	if id == "" {
		return nil, fmt.Errorf("pod %s has no running container %s", name, container)
	}
	for _, group := range host.PodCgroups("pids", pod.Spec.NodeName, pod.Metadata.UID) {
		if filepath.Base(group) == id {
			return host.CgroupProcesses(group)
		}
	}
	return nil, fmt.Errorf("pod %s has no cgroup on %s", name, pod.Spec.NodeName)
}
