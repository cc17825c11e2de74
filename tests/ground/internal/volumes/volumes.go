// Package volumes makes the disks of the ground: ext4 images of a bounded
// size, each mounted through a loop device and offered to Kubernetes as a local
// volume of one node. They really fill, and really have a lost+found.
package volumes

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mariadb-backup/ground/internal/api"
	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/layout"
)

// Storage classes, one for each purpose: a claim for backups must never take a
// volume made for data.
const (
	DataClass   = "ground-data"
	BackupClass = "ground-backup"
	// SmallClass is for tests that fill a disk.
	SmallClass = "ground-small"
	s3Class    = "ground-s3"
)

const (
	mebibyte = 1 << 20
	gibibyte = 1 << 30
)

// SmallBytes is the size of the volumes made to be filled.
const SmallBytes = 64 * mebibyte

// NamespaceLabel says which Galera a volume was made for.
const NamespaceLabel = "ground/namespace"

// Volume is one disk of one node.
type Volume struct {
	Name  string
	Class string
	Node  int
	Bytes int64
	// Namespace is the one it was made for; empty for anybody's.
	Namespace string
	// Claim reserves it for one claim of that namespace; empty for any.
	Claim string
}

// Spare plans the volumes of no Galera in particular.
func Spare() []Volume {
	// Node 1 is not where the highest ordinal runs, the usual target of a backup and of faults.
	planned := []Volume{{Name: "s3-1", Class: s3Class, Node: 1, Bytes: 16 * gibibyte}}
	for n := 1; n <= layout.NodeCount; n++ {
		planned = append(planned,
			Volume{Name: fmt.Sprintf("spare-backup-%d", n), Class: BackupClass, Node: n, Bytes: 4 * gibibyte},
			Volume{Name: fmt.Sprintf("small-%d", n), Class: SmallClass, Node: n, Bytes: SmallBytes})
	}
	return planned
}

// ForGalera plans the volumes of one Galera: a data volume for each replica,
// replica N on node N+1 and round again, and a backup volume on every node. The
// names of the data claims begin with claims and end with the ordinal.
func ForGalera(namespace, claims string, replicas int, dataBytes, backupBytes int64) []Volume {
	var planned []Volume
	for ordinal := range replicas {
		planned = append(planned, Volume{
			Name:  fmt.Sprintf("%s-data-%d", namespace, ordinal),
			Class: DataClass, Node: ordinal%layout.NodeCount + 1, Bytes: dataBytes, Namespace: namespace,
			Claim: fmt.Sprintf("%s-%d", claims, ordinal),
		})
	}
	for n := 1; n <= layout.NodeCount; n++ {
		planned = append(planned, Volume{
			Name:  fmt.Sprintf("%s-backup-%d", namespace, n),
			Class: BackupClass, Node: n, Bytes: backupBytes, Namespace: namespace,
		})
	}
	return planned
}

// Make formats and mounts the volumes that are not there yet.
func Make(l layout.Layout, planned []Volume) error {
	var making []func() error
	for _, volume := range planned {
		if _, err := os.Stat(l.VolumeImage(volume.Name)); err == nil {
			continue
		}
		making = append(making, func() error {
			return host.FormatAndMount(l.VolumeImage(volume.Name), l.VolumeMount(volume.Name), volume.Bytes)
		})
	}
	return host.Parallel(making...)
}

// Remove unmounts and deletes the volumes of a namespace.
func Remove(l layout.Layout, namespace string) error {
	var images []string
	for _, kind := range []string{"data", "backup"} {
		// The digit keeps off the volumes of a namespace named like this and more.
		found, err := filepath.Glob(l.VolumeImage(namespace + "-" + kind + "-[0-9]*"))
		if err != nil {
			return err
		}
		images = append(images, found...)
	}
	for _, image := range images {
		name := strings.TrimSuffix(filepath.Base(image), ".img")
		if err := host.UnmountBelow(l.VolumeMount(name)); err != nil {
			return err
		}
		if err := os.Remove(image); err != nil {
			return err
		}
		if err := os.Remove(l.VolumeMount(name)); err != nil {
			return err
		}
	}
	return nil
}

// Manifest is the volume as Kubernetes knows it.
func (v Volume) Manifest(l layout.Layout) api.Object {
	labels := api.Object{"ground/node": layout.NodeName(v.Node)}
	if v.Namespace != "" {
		labels[NamespaceLabel] = v.Namespace
	}
	onNode := api.Object{"key": "kubernetes.io/hostname", "operator": "In", "values": []string{layout.NodeName(v.Node)}}
	spec := api.Object{
		"capacity":                      api.Object{"storage": fmt.Sprint(v.Bytes)},
		"accessModes":                   []string{"ReadWriteOnce"},
		"persistentVolumeReclaimPolicy": "Retain",
		"storageClassName":              v.Class,
		"local":                         api.Object{"path": l.VolumeMount(v.Name)},
		"nodeAffinity": api.Object{"required": api.Object{"nodeSelectorTerms": []api.Object{
			{"matchExpressions": []api.Object{onNode}},
		}}},
	}
	if v.Claim != "" {
		spec["claimRef"] = api.Object{"namespace": v.Namespace, "name": v.Claim}
	}
	return api.Object{
		"apiVersion": "v1", "kind": "PersistentVolume",
		"metadata": api.Object{"name": v.Name, "labels": labels},
		"spec":     spec,
	}
}

// ParseSize reads a size as Kubernetes writes it: 64Mi, 2Gi, or bytes.
func ParseSize(text string) (int64, error) {
	number, unit := text, int64(1)
	for suffix, factor := range map[string]int64{"Mi": mebibyte, "Gi": gibibyte} {
		if before, found := strings.CutSuffix(text, suffix); found {
			number, unit = before, factor
		}
	}
	var count int64
	if _, err := fmt.Sscanf(number, "%d", &count); err != nil || fmt.Sprint(count) != number || count <= 0 {
		return 0, fmt.Errorf("size %q is not a number with Mi or Gi", text)
	}
	return count * unit, nil
}
