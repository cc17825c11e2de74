package workload

import (
	"fmt"
	"strings"
)

// Flavour is one way in which people run Galera on Kubernetes: where the data
// lies, what things are called, and who starts a stopped cluster.
type Flavour struct {
	// Name is also the folder of its manifests.
	Name string
	// Policies are the podManagementPolicies it can live with, its own one first.
	Policies []string
	// ClaimTemplate is the volumeClaimTemplate of the data.
	ClaimTemplate string
	// DataDirectory is where the server keeps its data, inside the container.
	DataDirectory string
	// ServerOptions are lines of its own in the server's option file.
	ServerOptions []string
}

// FlavourLabel is on StatefulSets, so that none is changed into another flavour.
const FlavourLabel = "ground/flavour"

// Plain is the flavour unless asked otherwise; it has no label.
const Plain = "plain"

var flavours = []Flavour{
	{
		Name: Plain, Policies: []string{"Parallel", "OrderedReady"},
		ClaimTemplate: "mysql-data", DataDirectory: "/var/lib/mysql",
	},
	{
		// Like openstack-helm and its descendants. An ordered StatefulSet would make
		// the second pod only when the first is ready, but the first waits for the
		// second's position: it has to be Parallel.
		Name: "mosk", Policies: []string{"Parallel"},
		ClaimTemplate: "mysql-data", DataDirectory: "/var/lib/mysql",
		// The data directory is the root of a volume.
		ServerOptions: []string{"ignore_db_dirs=lost+found"},
	},
	{
		// Like Bitnami's chart mariadb-galera.
		Name: "bitnami", Policies: []string{"OrderedReady", "Parallel"},
		ClaimTemplate: "data", DataDirectory: "/bitnami/mariadb/data",
	},
}

// PlainFlavour is the one "ground up" makes.
func PlainFlavour() Flavour { return flavours[0] }

// FlavourNames lists them for a person.
func FlavourNames() string {
	var names []string
	for _, flavour := range flavours {
		names = append(names, flavour.Name)
	}
	return strings.Join(names, "|")
}

// FindFlavour returns the flavour of that name.
func FindFlavour(name string) (Flavour, error) {
	for _, flavour := range flavours {
		if flavour.Name == name {
			return flavour, nil
		}
	}
	return Flavour{}, fmt.Errorf("flavour %q is not one of %s", name, FlavourNames())
}

// Claims is what the names of the data claims begin with.
func (g Galera) Claims() string { return g.ClaimTemplate + "-" + g.StatefulSet }

// GrowsFromOne tells that a new cluster must be made with one replica first.
// Bitnami's replicas look for others by name before one of them makes the first
// data; in a Parallel StatefulSet each sees the others and none would begin.
func (g Galera) GrowsFromOne() bool { return g.Name == "bitnami" && g.Policy == "Parallel" }
