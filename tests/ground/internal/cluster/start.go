// Package cluster is Kubernetes itself: a control plane and three nodes, each
// in network namespaces of its own, on one machine.
package cluster

import (
	"fmt"
	"os"
	"time"

	"mariadb-backup/ground/internal/api"
	"mariadb-backup/ground/internal/build"
	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/layout"
	"mariadb-backup/ground/internal/pki"
	"mariadb-backup/ground/internal/story"
)

// apiLimit is for a machine busy with compilers; alone it takes 3 s.
const apiLimit = 90 * time.Second

// Start brings up the cluster on a clean machine, and calls apply as soon as
// the API takes manifests, while the nodes are still starting. It writes the
// settings, to which it adds the port of the API.
func Start(l layout.Layout, programs build.Programs, golden string, settings *layout.Settings, apply func(*api.Client) error) error {
	made, err := makeNodeFolders()
	settings.MadeFolders = made
	if err != nil {
		return err
	}
	// Written early, so that a start that dies half way can be cleaned up whole.
	if err := l.WriteSettings(*settings); err != nil {
		return err
	}
	if err := host.Parallel(makeNetwork, func() error { return pki.MakeAll(l) }); err != nil {
		return err
	}
	if err := host.BindShared(l.VolumeMounts()); err != nil {
		return err
	}
	if err := StartAPI(l, programs); err != nil {
		return err
	}
	if settings.APIPort, err = startForwarder(l); err != nil {
		return err
	}
	if err := l.WriteSettings(*settings); err != nil {
		return err
	}
	server := fmt.Sprintf("https://127.0.0.1:%d", settings.APIPort)
	if err := pki.WriteKubeconfig(l, l.Kubeconfig(), "admin", server); err != nil {
		return err
	}
	client, err := api.New(l, settings.APIPort)
	if err != nil {
		return err
	}
	return startOnAPI(l, programs, golden, client, apply)
}

// startOnAPI does what waits for the API, having prepared the nodes meanwhile.
func startOnAPI(l layout.Layout, programs build.Programs, golden string, client *api.Client, apply func(*api.Client) error) error {
	prepare := []func() error{func() error { return waitForAPI(l, client, apiLimit) }}
	for n := 1; n <= layout.NodeCount; n++ {
		prepare = append(prepare, func() error { return prepareNode(l, n, golden) })
	}
	if err := host.Parallel(prepare...); err != nil {
		return err
	}
	story.Say("the API server is ready")
	if err := startControllers(l, programs); err != nil {
		return err
	}
	for n := 1; n <= layout.NodeCount; n++ {
		if err := PowerOn(l, programs, n); err != nil {
			return err
		}
	}
	return apply(client)
}

// Running tells whether the control plane is alive. A node that is off, or an
// API server that is down, may be a fault somebody injected.
func Running(l layout.Layout) bool {
	for _, name := range []string{"etcd", "forwarder", "kube-controller-manager"} {
		if _, alive := host.PID(l, name); !alive {
			return false
		}
	}
	return host.NetnsExists(layout.ControlNetns)
}

// ReadyNodes counts the nodes Kubernetes says are ready.
func ReadyNodes(client *api.Client) (int, error) {
	var list struct {
		Items []struct {
			Status struct {
				Conditions []struct{ Type, Status string }
			}
		}
	}
	if err := client.Get("/api/v1/nodes", &list); err != nil {
		return 0, err
	}
	ready := 0
	for _, node := range list.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == "Ready" && condition.Status == "True" {
				ready++
			}
		}
	}
	return ready, nil
}

// removeMadeFolders takes away the mount points that were not there before.
func removeMadeFolders(folders []string) {
	for _, folder := range folders {
		// Somebody else may have put something there since; that stays.
		_ = os.Remove(folder)
	}
}
