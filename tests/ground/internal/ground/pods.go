package ground

import (
	"fmt"
	"os"
	"strings"
)

// pod is what the ground reads of a pod.
type pod struct {
	Metadata struct{ Name, UID string }
	Spec     struct{ NodeName string }
	Status   struct {
		PodIP                 string
		ContainerStatuses     []containerStatus
		InitContainerStatuses []containerStatus
	}
}

type containerStatus struct {
	Name        string
	ContainerID string
	State       struct{ Running *struct{} }
}

func (g *Ground) pod(namespace, name string) (pod, error) {
	var found pod
	err := g.API.Get(fmt.Sprintf("/api/v1/namespaces/%s/pods/%s", namespace, name), &found)
	return found, err
}

func (g *Ground) podsByLabel(namespace, selector string) ([]pod, error) {
	var list struct{ Items []pod }
	err := g.API.Get(fmt.Sprintf("/api/v1/namespaces/%s/pods?labelSelector=%s", namespace, selector), &list)
	return list.Items, err
}

// containerID returns the id of a running container; of the first for no name.
func (p pod) containerID(name string) string {
	for _, status := range append(p.Status.ContainerStatuses, p.Status.InitContainerStatuses...) {
		if status.State.Running != nil && (name == "" || status.Name == name) {
			return strings.TrimPrefix(status.ContainerID, "containerd://")
		}
	}
	return ""
}

// isContainerInit tells whether a process is the first of its pid namespace.
func isContainerInit(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for _, line := range strings.Split(string(text), "\n") {
		if ids, found := strings.CutPrefix(line, "NSpid:"); found {
			fields := strings.Fields(ids)
			return len(fields) > 1 && fields[len(fields)-1] == "1"
		}
	}
	return false
}

func processName(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
