package ground

import (
	"fmt"
	"time"

	"mariadb-backup/ground/internal/images"
	"mariadb-backup/ground/internal/layout"
	"mariadb-backup/ground/internal/story"
	"mariadb-backup/ground/internal/volumes"
	"mariadb-backup/ground/internal/workload"
)

const gibibyte = 1 << 30

// DemoGalera is the cluster "ground up" makes.
func DemoGalera(settings layout.Settings) workload.Galera {
	return workload.Galera{
		Namespace: workload.DefaultNamespace, StatefulSet: workload.DefaultStatefulSet,
		Replicas: settings.Replicas, Policy: settings.Policy, Series: settings.Series, SST: "rsync",
		DataBytes: 4 * gibibyte, BackupBytes: 4 * gibibyte, Seed: settings.Seed,
	}
}

// CreateGalera makes another, independent cluster on the running ground.
func (g *Ground) CreateGalera(galera workload.Galera) error {
	galera.Seed = g.Settings.Seed
	if err := galera.Check(); err != nil {
		return err
	}
	if galera.Series != g.Settings.Series {
		archive, err := images.ServerArchive(g.Layout, galera.Series)
		if err != nil {
			return err
		}
		if err := g.importArchive(archive); err != nil {
			return err
		}
	}
	if err := applyGalera(g.API, g.Layout, galera); err != nil {
		return err
	}
	return g.waitForGalera(galera)
}

func (g *Ground) waitForGalera(galera workload.Galera) error {
	deadline := time.Now().Add(workloadLimit)
	last := -1
	for {
		ready := g.readyReplicas("statefulsets", galera.Namespace, galera.StatefulSet)
		if ready != last {
			story.Say("Galera %s/%s %d/%d", galera.Namespace, galera.StatefulSet, ready, galera.Replicas)
			last = ready
		}
		if ready == galera.Replicas {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("Galera in namespace %s has %d of %d replicas ready after %s", galera.Namespace, ready, galera.Replicas, workloadLimit)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// DeleteGalera deletes a namespace with all in it, and its volumes.
func (g *Ground) DeleteGalera(namespace string) error {
	if namespace == "kube-system" || namespace == "default" {
		return fmt.Errorf("namespace %s is not one of a Galera", namespace)
	}
	if err := g.deleteNamespace(namespace); err != nil {
		return err
	}
	var list struct {
		Items []struct{ Metadata struct{ Name string } }
	}
	if err := g.API.Get("/api/v1/persistentvolumes?labelSelector="+volumes.NamespaceLabel+"%3D"+namespace, &list); err != nil {
		return err
	}
	for _, volume := range list.Items {
		if err := g.API.Delete("/api/v1/persistentvolumes/" + volume.Metadata.Name); err != nil {
			return err
		}
	}
	return volumes.Remove(g.Layout, namespace)
}

func (g *Ground) deleteNamespace(namespace string) error {
	// Nobody will miss the data; a clean stop would only take time.
	pods := "/api/v1/namespaces/" + namespace + "/pods?gracePeriodSeconds=1"
	if err := g.API.Delete("/api/v1/namespaces/" + namespace); err != nil {
		return err
	}
	deadline := time.Now().Add(workloadLimit)
	for {
		var there map[string]any
		if err := g.API.Get("/api/v1/namespaces/"+namespace, &there); err != nil {
			return ignoreNotFound(err)
		}
		if err := g.API.Delete(pods); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("namespace %s is still there after %s", namespace, workloadLimit)
		}
		time.Sleep(300 * time.Millisecond)
	}
}
