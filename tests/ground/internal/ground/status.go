package ground

import (
	"fmt"

	"mariadb-backup/ground/internal/cluster"
	"mariadb-backup/ground/internal/layout"
	"mariadb-backup/ground/internal/workload"
)

// Status is how the ground is doing.
type Status struct {
	API            bool     `json:"api"`
	Nodes          int      `json:"nodes"`
	NodesWanted    int      `json:"nodesWanted"`
	Replicas       int      `json:"replicas"`
	ReplicasWanted int      `json:"replicasWanted"`
	S3             bool     `json:"s3"`
	DNS            bool     `json:"dns"`
	Series         string   `json:"series"`
	Agent          string   `json:"agent,omitempty"`
	Kubeconfig     string   `json:"kubeconfig"`
	Faults         []string `json:"faults"`
}

// Status asks the API. What does not answer counts as not ready.
func (g *Ground) Status() Status {
	status := Status{
		API: g.API.Ready(), NodesWanted: layout.NodeCount, ReplicasWanted: g.Settings.Replicas,
		Series: g.Settings.Series, Kubeconfig: g.Kubeconfig(), Faults: []string{},
	}
	if agent, err := ReadAgent(g.Layout); err == nil {
		status.Agent = agent.Reference
	}
	for _, fault := range g.ActiveFaults() {
		status.Faults = append(status.Faults, fault.Name)
	}
	if !status.API {
		return status
	}
	status.Nodes, _ = cluster.ReadyNodes(g.API)
	status.Replicas = g.readyReplicas("statefulsets", workload.DefaultNamespace, workload.DefaultStatefulSet)
	status.S3 = g.readyReplicas("deployments", workload.DefaultNamespace, "s3") > 0
	status.DNS = g.readyReplicas("deployments", "kube-system", "coredns") > 0
	return status
}

func (g *Ground) readyReplicas(plural, namespace, name string) int {
	var object struct {
		Metadata struct{ Generation int64 }
		Status   struct {
			ReadyReplicas      int
			ObservedGeneration int64
		}
	}
	err := g.API.Get(fmt.Sprintf("/apis/apps/v1/namespaces/%s/%s/%s", namespace, plural, name), &object)
	if err != nil || object.Status.ObservedGeneration < object.Metadata.Generation {
		return 0
	}
	return object.Status.ReadyReplicas
}

// Healthy tells whether all of it is there and nothing was broken on purpose.
func (s Status) Healthy() bool {
	return s.API && s.Nodes == s.NodesWanted && s.Replicas == s.ReplicasWanted && s.S3 && s.DNS && len(s.Faults) == 0
}

// Line is the status in one line for a person.
func (s Status) Line() string {
	if !s.API {
		return "API server: no answer"
	}
	return fmt.Sprintf("nodes %d/%d, DNS %s, S3 %s, Galera %d/%d",
		s.Nodes, s.NodesWanted, readiness(s.DNS), readiness(s.S3), s.Replicas, s.ReplicasWanted)
}

func readiness(ready bool) string {
	if ready {
		return "ready"
	}
	return "starting"
}
