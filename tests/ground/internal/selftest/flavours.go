package selftest

import (
	"fmt"
	"net/http"
	"time"

	"mariadb-backup/ground/internal/workload"
)

const flavoursNamespace = "selftest-flavour"

// bitnami has its second replica find the first by name alone.
func (t *test) bitnami() error {
	galera, err := t.createFlavour("bitnami")
	if err != nil {
		return err
	}
	return t.ground.DeleteGalera(galera.Namespace)
}

// mosk stops every replica: who starts the cluster again is theirs to find out.
func (t *test) mosk() error {
	galera, err := t.createFlavour("mosk")
	if err != nil {
		return err
	}
	if err := t.ground.Load(galera.Namespace, galera.StatefulSet, 1); err != nil {
		return err
	}
	for _, replicas := range []int{0, galera.Replicas} {
		if err := t.scale(galera, replicas); err != nil {
			return err
		}
	}
	if err := t.wasElected(galera); err != nil {
		return err
	}
	return t.ground.DeleteGalera(galera.Namespace)
}

func (t *test) createFlavour(name string) (workload.Galera, error) {
	flavour, err := workload.FindFlavour(name)
	if err != nil {
		return workload.Galera{}, err
	}
	galera := workload.Galera{
		Flavour: flavour, Namespace: flavoursNamespace, StatefulSet: "other", Replicas: 2, Policy: flavour.Policies[0], SST: "rsync",
		Series: t.Wanted.Series, DataBytes: 1 << 30, BackupBytes: 1 << 30,
	}
	return galera, t.ground.CreateGalera(galera)
}

func (t *test) scale(galera workload.Galera, replicas int) error {
	path := fmt.Sprintf("/apis/apps/v1/namespaces/%s/statefulsets/%s/scale", galera.Namespace, galera.StatefulSet)
	body := []byte(fmt.Sprintf(`{"spec": {"replicas": %d}}`, replicas))
	if err := t.ground.API.Do(http.MethodPatch, path, "application/merge-patch+json", body, nil); err != nil {
		return err
	}
	return until(2*time.Minute, fmt.Sprintf("%d replicas are ready", replicas), func() bool {
		var set struct {
			Status struct{ Replicas, ReadyReplicas int }
		}
		err := t.ground.API.Get(path[:len(path)-len("/scale")], &set)
		return err == nil && set.Status.Replicas == replicas && set.Status.ReadyReplicas == replicas
	})
}

func (t *test) wasElected(galera workload.Galera) error {
	var state struct {
		Metadata struct{ Annotations map[string]string }
	}
	path := fmt.Sprintf("/api/v1/namespaces/%s/configmaps/%s-mariadb-state", galera.Namespace, galera.StatefulSet)
	if err := t.ground.API.Get(path, &state); err != nil {
		return err
	}
	phase := state.Metadata.Annotations["openstackhelm.openstack.org/cluster.state"]
	node := state.Metadata.Annotations["openstackhelm.openstack.org/reboot.node"]
	if phase != "live" || node == "" {
		return fmt.Errorf("the cluster's state is %q and its reboot node %q", phase, node)
	}
	return nil
}
