package volumes

import (
	"testing"

	"mariadb-backup/ground/internal/layout"
)

func TestReplicasGetVolumesOnNodesInTurn(t *testing.T) {
	planned := ForGalera("demo", "mysql-data-mariadb-server", 4, 1, 2)
	want := []Volume{
		{"demo-data-0", DataClass, 1, 1, "demo", "mysql-data-mariadb-server-0"},
		{"demo-data-1", DataClass, 2, 1, "demo", "mysql-data-mariadb-server-1"},
		{"demo-data-2", DataClass, 3, 1, "demo", "mysql-data-mariadb-server-2"},
		{"demo-data-3", DataClass, 1, 1, "demo", "mysql-data-mariadb-server-3"},
		{"demo-backup-1", BackupClass, 1, 2, "demo", ""},
		{"demo-backup-2", BackupClass, 2, 2, "demo", ""},
		{"demo-backup-3", BackupClass, 3, 2, "demo", ""},
	}
	if len(planned) != len(want) {
		t.Fatalf("%d volumes: %+v", len(planned), planned)
	}
	for n := range want {
		if planned[n] != want[n] {
			t.Errorf("%+v, not %+v", planned[n], want[n])
		}
	}
}

func TestNoTwoVolumesShareAName(t *testing.T) {
	seen := map[string]bool{}
	for _, volume := range append(Spare(), ForGalera("demo", "s", 3, 1, 1)...) {
		if seen[volume.Name] {
			t.Errorf("%s twice", volume.Name)
		}
		seen[volume.Name] = true
	}
}

func TestAManifestReservesAVolumeOnlyForANamedClaim(t *testing.T) {
	l := layout.Layout{State: "/state"}
	for _, volume := range ForGalera("demo", "s", 1, 5, 5) {
		spec := volume.Manifest(l)["spec"].(map[string]any)
		if _, reserved := spec["claimRef"]; reserved != (volume.Claim != "") {
			t.Errorf("%s: reserved is %v", volume.Name, reserved)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"64Mi": 64 << 20, "2Gi": 2 << 30, "4096": 4096} {
		if bytes, err := ParseSize(text); err != nil || bytes != want {
			t.Errorf("%q is %d, %v", text, bytes, err)
		}
	}
	for _, text := range []string{"", "Gi", "2G", "-1", "0", "1.5Gi"} {
		if _, err := ParseSize(text); err == nil {
			t.Errorf("%q is taken for a size", text)
		}
	}
}
