package workload

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mariadb-backup/ground/internal/api"
)

// of is the example of a flavour in its own policy.
func of(t *testing.T, name string) Galera {
	t.Helper()
	flavour, err := FindFlavour(name)
	if err != nil {
		t.Fatal(err)
	}
	galera := example()
	galera.Flavour, galera.Policy = flavour, flavour.Policies[0]
	return galera
}

func objects(t *testing.T, galera Galera) []api.Object {
	t.Helper()
	text, err := galera.Manifest()
	return parse(t, text, err)
}

func find(t *testing.T, objects []api.Object, kind, name string) api.Object {
	t.Helper()
	for _, object := range objects {
		if object["kind"] == kind && at(object, "metadata", "name") == name {
			return object
		}
	}
	t.Fatalf("no %s %s", kind, name)
	return nil
}

// at follows keys, and indexes into lists, into an object.
func at(value any, path ...any) any {
	for _, step := range path {
		switch key := step.(type) {
		case string:
			value = value.(map[string]any)[key]
		case int:
			value = value.([]any)[key]
		}
	}
	return value
}

func TestEveryFlavourIsWhatTheAPITakesInEachOfItsPolicies(t *testing.T) {
	for _, flavour := range flavours {
		for _, policy := range flavour.Policies {
			galera := of(t, flavour.Name)
			galera.Policy = policy
			if err := galera.Check(); err != nil {
				t.Error(err)
			}
			set := find(t, objects(t, galera), "StatefulSet", galera.StatefulSet)
			if got := at(set, "spec", "podManagementPolicy"); got != policy {
				t.Errorf("%s: policy %v instead of %s", flavour.Name, got, policy)
			}
		}
	}
}

func TestWhatOthersRelyOnIsTheSameInEveryFlavour(t *testing.T) {
	shared := map[string]string{
		"mariadb-root": "Secret", "mariadb-sst": "Secret", "mariadb-backup-operator": "Secret", "mariadb-backup": "Secret",
		"mariadb-application": "Secret", "mariadb-phy-backup-data": "PersistentVolumeClaim", "mariadb": "Service",
	}
	for _, flavour := range flavours {
		made := objects(t, of(t, flavour.Name))
		for name, kind := range shared {
			find(t, made, kind, name)
		}
	}
}

func TestTheDataLiesWhereTheFlavourSays(t *testing.T) {
	for _, flavour := range flavours {
		galera := of(t, flavour.Name)
		made := objects(t, galera)
		set := find(t, made, "StatefulSet", galera.StatefulSet)
		if got := at(set, "spec", "volumeClaimTemplates", 0, "metadata", "name"); got != flavour.ClaimTemplate {
			t.Errorf("%s: claim template %v", flavour.Name, got)
		}
		found := false
		for _, mount := range at(set, "spec", "template", "spec", "containers", 0, "volumeMounts").([]any) {
			if at(mount, "name") == flavour.ClaimTemplate {
				found = strings.HasPrefix(flavour.DataDirectory, at(mount, "mountPath").(string))
			}
		}
		if !found {
			t.Errorf("%s: the claim is not mounted at or above %s", flavour.Name, flavour.DataDirectory)
		}
		options := at(find(t, made, "Secret", "mariadb-config"), "stringData", "server.cnf").(string)
		for _, line := range append([]string{"datadir=" + flavour.DataDirectory}, flavour.ServerOptions...) {
			if !slices.Contains(strings.Split(options, "\n"), line) {
				t.Errorf("%s: no line %s in the server's options", flavour.Name, line)
			}
		}
	}
}

func TestScriptsArriveUnchangedAndAreBash(t *testing.T) {
	arriving := map[string][][3]string{
		"plain":   {{"start.sh", "mariadb-start", "start.sh"}},
		"bitnami": {{"entrypoint.sh", "mariadb-server-scripts", "entrypoint.sh"}},
		"mosk": {
			{"api.sh", "mariadb-bin", "api.sh"}, {"start.sh", "mariadb-bin", "start.py"},
			{"controller.sh", "mariadb-bin", "mariadb_controller.sh"},
		},
	}
	for flavour, scripts := range arriving {
		galera := of(t, flavour)
		made := objects(t, galera)
		for _, script := range scripts {
			file, config, key := script[0], script[1], script[2]
			text, err := galera.Script(file)
			if err != nil {
				t.Fatal(err)
			}
			arrived := at(find(t, made, "ConfigMap", config), "data", key).(string)
			if strings.TrimSpace(arrived) != strings.TrimSpace(text) {
				t.Errorf("%s: %s in the ConfigMap differs from the file", flavour, file)
			}
			path := filepath.Join(t.TempDir(), file)
			if err := os.WriteFile(path, []byte(arrived), 0o600); err != nil {
				t.Fatal(err)
			}
			if output, err := exec.Command("bash", "-n", path).CombinedOutput(); err != nil {
				t.Errorf("%s: %s is no bash: %s", flavour, file, output)
			}
		}
	}
}

func TestMoskIsKnownByItsCommandAndTheNameOfItsState(t *testing.T) {
	set := find(t, objects(t, of(t, "mosk")), "StatefulSet", "mariadb-server")
	container := at(set, "spec", "template", "spec", "containers", 0)
	if got := at(container, "command", 0); got != "/tmp/start.py" {
		t.Errorf("command %v", got)
	}
	for _, variable := range at(container, "env").([]any) {
		if at(variable, "name") == "STATE_CONFIGMAP" && at(variable, "value") == "mariadb-server-mariadb-state" {
			return
		}
	}
	t.Error("no STATE_CONFIGMAP")
}

func TestBitnamiIsKnownByItsLabelAndContainer(t *testing.T) {
	set := find(t, objects(t, of(t, "bitnami")), "StatefulSet", "mariadb-server")
	if got := at(set, "metadata", "labels", "app.kubernetes.io/name"); got != "mariadb-galera" {
		t.Errorf("label %v", got)
	}
	if got := at(set, "spec", "template", "spec", "containers", 0, "name"); got != "mariadb-galera" {
		t.Errorf("container %v", got)
	}
}

// A template that changed with the count would restart what was made first.
func TestGrowingFromOneChangesTheCountOnly(t *testing.T) {
	galera := of(t, "bitnami")
	galera.Policy = "Parallel"
	if !galera.GrowsFromOne() {
		t.Error("a Parallel Bitnami does not grow from one")
	}
	galera.Replicas = 5
	many, _ := galera.Manifest()
	galera.Replicas = 1
	one, _ := galera.Manifest()
	if strings.Replace(many, "replicas: 5", "replicas: 1", 1) != one {
		t.Error("more than the count differs")
	}
}
