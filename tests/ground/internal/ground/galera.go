package ground

import (
	"fmt"
	"strings"

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
		Flavour: workload.PlainFlavour(), Namespace: workload.DefaultNamespace, StatefulSet: workload.DefaultStatefulSet,
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
	if err := g.refuseSecondGalera(galera); err != nil {
		return err
	}
	if galera.Series != g.Settings.Series {
		if err := g.importSeries(galera.Series); err != nil {
			return err
		}
	}
	if galera.GrowsFromOne() && !g.hasStatefulSet(galera) {
		if err := g.makeGalera(galera, 1); err != nil {
			return err
		}
	}
	return g.makeGalera(galera, galera.Replicas)
}

func (g *Ground) makeGalera(galera workload.Galera, replicas int) error {
	galera.Replicas = replicas
	if err := applyGalera(g.API, g.Layout, galera); err != nil {
		return err
	}
	return g.waitForGalera(galera)
}

func (g *Ground) hasStatefulSet(galera workload.Galera) bool {
	var there map[string]any
	return g.API.Get("/apis/apps/v1/namespaces/"+galera.Namespace+"/statefulsets/"+galera.StatefulSet, &there) == nil
}

// refuseSecondGalera keeps two clusters from sharing one name service, and one
// from being changed into another flavour: what is in common would be changed
// before Kubernetes refuses the rest.
func (g *Ground) refuseSecondGalera(galera workload.Galera) error {
	var list struct{ Items []foundGalera }
	if err := g.API.Get("/apis/apps/v1/namespaces/"+galera.Namespace+"/statefulsets", &list); err != nil {
		return err
	}
	for _, other := range list.Items {
		if other.refuses(galera) {
			return fmt.Errorf("namespace %s has the Galera %s of flavour %s already\n  do:  choose another --namespace",
				galera.Namespace, other.Metadata.Name, other.flavour())
		}
	}
	return nil
}

// foundGalera is a StatefulSet that may be a Galera.
type foundGalera struct {
	Metadata struct {
		Name   string
		Labels map[string]string
	}
}

// flavour is empty for a StatefulSet that the ground did not make.
func (f foundGalera) flavour() string {
	if name := f.Metadata.Labels[workload.FlavourLabel]; name != "" {
		return name
	}
	if f.Metadata.Labels["application"] == "mariadb" {
		return workload.Plain
	}
	return ""
}

func (f foundGalera) refuses(wanted workload.Galera) bool {
	return f.flavour() != "" && (f.flavour() != wanted.Name || f.Metadata.Name != wanted.StatefulSet)
}

// importSeries brings the server image of another series into the nodes.
func (g *Ground) importSeries(series string) error {
	release, err := Lock(g.Layout)
	if err != nil {
		return err
	}
	defer release()
	archive, err := images.ServerArchive(g.Layout, series)
	if err != nil {
		return err
	}
	return g.importArchive(archive)
}

func (g *Ground) waitForGalera(galera workload.Galera) error {
	last := -1
	return waitUntil(workloadLimit, "the Galera of namespace "+galera.Namespace+" is ready", func() (bool, error) {
		ready := g.readyReplicas("statefulsets", galera.Namespace, galera.StatefulSet)
		if ready != last {
			story.Say("Galera %s/%s %d/%d", galera.Namespace, galera.StatefulSet, ready, galera.Replicas)
			last = ready
		}
		return ready == galera.Replicas, nil
	})
}

// DeleteGalera deletes a namespace with all in it, and its volumes.
func (g *Ground) DeleteGalera(namespace string) error {
	switch namespace {
	case "", "kube-system", "default", workload.DefaultNamespace:
		return fmt.Errorf("namespace %q is not one that galera create made", namespace)
	}
	if err := g.stopActing(namespace); err != nil {
		return err
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

// stopActing ends the ledger and the volume faults of a namespace, which would
// otherwise act on whatever comes to have its address or device next.
func (g *Ground) stopActing(namespace string) error {
	if err := g.LedgerStop(namespace); err != nil {
		return err
	}
	for _, fault := range g.ActiveFaults() {
		if strings.HasPrefix(fault.Kind, "volume-") && strings.HasPrefix(fault.On, namespace+"-") {
			if err := g.mendFault(fault); err != nil {
				return err
			}
		}
	}
	return nil
}

// deleteNamespace deletes what others wait for first, in order: a namespace that
// still has pods or claims is looked at again only after seconds.
func (g *Ground) deleteNamespace(namespace string) error {
	for _, owners := range []string{"apps/v1/%s/statefulsets", "apps/v1/%s/deployments", "apps/v1/%s/replicasets", "batch/v1/%s/cronjobs", "batch/v1/%s/jobs"} {
		path := "/apis/" + fmt.Sprintf(owners, "namespaces/"+namespace) + "?propagationPolicy=Orphan"
		if err := g.API.Delete(path); err != nil {
			return err
		}
	}
	// Orphaned above, so that nobody else deletes the pods with their own patience:
	// the data will not be missed, and a clean stop would only take time.
	if err := g.deleteAll("/api/v1/namespaces/"+namespace+"/pods", "?gracePeriodSeconds=1"); err != nil {
		return err
	}
	if err := g.deleteAll("/api/v1/namespaces/"+namespace+"/persistentvolumeclaims", ""); err != nil {
		return err
	}
	path := "/api/v1/namespaces/" + namespace
	if err := g.API.Delete(path); err != nil {
		return err
	}
	return waitUntil(workloadLimit, "namespace "+namespace+" is gone", func() (bool, error) {
		var there map[string]any
		err := g.API.Get(path, &there)
		return err != nil, ignoreNotFound(err)
	})
}

// deleteAll deletes every object of a collection and waits until they are gone.
func (g *Ground) deleteAll(collection, query string) error {
	if err := g.API.Delete(collection + query); err != nil {
		return err
	}
	return waitUntil(workloadLimit, collection+" is empty", func() (bool, error) {
		var left struct{ Items []struct{} }
		err := g.API.Get(collection, &left)
		return len(left.Items) == 0, err
	})
}
