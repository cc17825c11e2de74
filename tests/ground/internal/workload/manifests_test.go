package workload

import (
	"testing"

	"mariadb-backup/ground/internal/api"
)

func example() Galera {
	return Galera{Flavour: PlainFlavour(), Namespace: "demo", StatefulSet: "mariadb-server", Replicas: 3, Policy: "Parallel", Series: "10.11", SST: "rsync", DataBytes: 1, BackupBytes: 1, Seed: "seed"}
}

// The path of an object tells whether its kind is known and its namespace fits.
func parse(t *testing.T, text string, err error) []api.Object {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := api.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if _, err := api.Path(object); err != nil {
			t.Error(err)
		}
	}
	return objects
}

func TestManifestsAreWhatTheAPITakes(t *testing.T) {
	s3, err := S3Manifest("demo", "seed")
	parse(t, s3, err)
	system, err := SystemManifest()
	parse(t, system, err)
}

func TestPasswordsDifferByPurposeNamespaceAndGroundOnly(t *testing.T) {
	first := Password("seed", "demo", "root")
	if first != Password("seed", "demo", "root") {
		t.Error("the same password is not the same again")
	}
	for _, other := range []string{Password("seed", "demo", "backup"), Password("seed", "other", "root"), Password("reed", "demo", "root")} {
		if other == first {
			t.Error("two passwords are one")
		}
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	spoilers := []func(*Galera){
		func(g *Galera) { g.Namespace = "" },
		func(g *Galera) { g.Replicas = 0 },
		func(g *Galera) { g.Policy = "parallel" },
		func(g *Galera) { g.SST = "xtrabackup" },
		func(g *Galera) { g.Flavour = Flavour{} },
		func(g *Galera) { *g = of(t, "mosk"); g.Policy = "OrderedReady" },
	}
	for n, spoil := range spoilers {
		galera := example()
		spoil(&galera)
		if galera.Check() == nil {
			t.Errorf("case %d is not refused: %+v", n, galera)
		}
	}
	if err := example().Check(); err != nil {
		t.Error(err)
	}
}
