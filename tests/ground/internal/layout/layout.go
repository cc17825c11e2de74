// Package layout says where everything of the ground lies.
//
// Both folders are the same for every clone of the repository on a machine: a
// fresh clone then starts warm, and a ground whose processes were killed is
// found again.
package layout

import (
	"fmt"
	"os"
	"path/filepath"
)

// NodeCount is fixed: Galera wants three, and a smaller cluster is hardly
// cheaper to run.
const NodeCount = 3

// Marker is the environment variable every process of a ground carries; its
// value is the state folder.
const Marker = "MARIADB_BACKUP_GROUND"

// Layout is the pair of folders everything else is derived from.
type Layout struct {
	// State belongs to one running ground and goes away with it.
	State string
	// Cache holds what is slow to build; it is never needed to clean up.
	Cache string
}

// FromEnvironment returns the fixed folders, or those the environment names.
func FromEnvironment() Layout {
	return Layout{
		State: orDefault("GROUND_STATE", "/var/lib/mariadb-backup-ground"),
		Cache: orDefault("GROUND_CACHE", "/var/cache/mariadb-backup-ground"),
	}
}

func orDefault(variable, fallback string) string {
	if value := os.Getenv(variable); value != "" {
		return value
	}
	return fallback
}

// Environment is what a child process must be given to be known as ours.
func (l Layout) Environment() []string {
	return append(os.Environ(), Marker+"="+l.State, "GROUND_STATE="+l.State, "GROUND_CACHE="+l.Cache)
}

func (l Layout) in(parts ...string) string {
	return filepath.Join(append([]string{l.State}, parts...)...)
}

// Bin is the folder put first in PATH. It lies in the cache, so that an agent
// can be built while the ground is down.
func (l Layout) Bin() string { return filepath.Join(l.Cache, "bin") }

// Cached names a file in the cache.
func (l Layout) Cached(parts ...string) string {
	return filepath.Join(append([]string{l.Cache}, parts...)...)
}

func (l Layout) Kubeconfig() string          { return l.in("kubeconfig") }
func (l Layout) Settings() string            { return l.in("ground.json") }
func (l Layout) PKI(name string) string      { return l.in("pki", name) }
func (l Layout) Etcd() string                { return l.in("etcd") }
func (l Layout) Log(name string) string      { return l.in("logs", name+".log") }
func (l Layout) PIDFile(name string) string  { return l.in("run", name+".pid") }
func (l Layout) PIDFiles() string            { return l.in("run") }
func (l Layout) Faults() string              { return l.in("faults") }
func (l Layout) Ledger(name string) string   { return l.in("ledger", name) }
func (l Layout) VolumeImages() string        { return l.in("volumes", "images") }
func (l Layout) VolumeMounts() string        { return l.in("volumes", "mounts") }
func (l Layout) VolumeMount(v string) string { return l.in("volumes", "mounts", v) }
func (l Layout) VolumeImage(v string) string { return l.in("volumes", "images", v+".img") }
func (l Layout) Config(name string) string   { return l.in("config", name) }

// Node names a file or folder of one node, counted from 1.
func (l Layout) Node(n int, parts ...string) string {
	return l.in(append([]string{"nodes", NodeName(n)}, parts...)...)
}

// NodeName is the name Kubernetes knows a node by.
func NodeName(n int) string { return fmt.Sprintf("node-%d", n) }

// NodeNetns is the network namespace of a node, as iproute2 names it.
func NodeNetns(n int) string { return fmt.Sprintf("mb-n%d", n) }

// ControlNetns is the network namespace of the control plane.
const ControlNetns = "mb-cp"

// ControlIP is the address of the API server inside the namespaces.
const ControlIP = "10.98.0.1"

// NodeIP is the address of a node.
func NodeIP(n int) string { return fmt.Sprintf("10.98.0.1%d", n) }

// NodePodSubnet is the range the pods of a node get addresses from.
func NodePodSubnet(n int) string { return fmt.Sprintf("10.244.%d.0/24", n) }

// NodeLink is the control plane's end of the cable to a node.
func NodeLink(n int) string { return fmt.Sprintf("veth-n%d", n) }

// Netnses lists all network namespaces of the ground.
func Netnses() []string {
	names := []string{ControlNetns}
	for n := 1; n <= NodeCount; n++ {
		names = append(names, NodeNetns(n))
	}
	return names
}
