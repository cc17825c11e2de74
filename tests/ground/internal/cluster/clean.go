package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/layout"
)

// Clean takes away everything of a ground, running, ruined or half started. It
// relies on no record being complete: processes are known by their environment
// and network namespace, mounts and loops by their paths.
func Clean(l layout.Layout) error {
	// Unreadable settings only mean that a few empty folders stay behind.
	settings, _ := l.ReadSettings()
	if err := killOurs(l); err != nil {
		return err
	}
	if err := host.DropBelow(l.State); err != nil {
		return err
	}
	if err := host.UnmountBelow(l.State); err != nil {
		return err
	}
	if err := host.DetachLoops(l.State); err != nil {
		return err
	}
	for _, name := range layout.Netnses() {
		if err := host.RemoveNetns(name); err != nil {
			return err
		}
	}
	host.RemoveNetnsFolder()
	if err := host.RemoveCgroups(""); err != nil {
		return err
	}
	if err := removeState(l); err != nil {
		return err
	}
	removeMadeFolders(settings.MadeFolders)
	return nil
}

// removeState removes the state folder, its large parts at once: freeing the
// pages of gigabytes takes a while, and so do the many files of the images.
func removeState(l layout.Layout) error {
	large, err := filepath.Glob(l.VolumeImage("*"))
	if err != nil {
		return err
	}
	for n := 1; n <= layout.NodeCount; n++ {
		large = append(large, l.Node(n, "containerd"))
	}
	var removals []func() error
	for _, path := range large {
		removals = append(removals, func() error { return os.RemoveAll(path) })
	}
	if err := host.Parallel(removals...); err != nil {
		return err
	}
	return os.RemoveAll(l.State)
}

func killOurs(l layout.Layout) error {
	// Twice: a process may be born while the table is read.
	for range 2 {
		ours, err := ourProcesses(l)
		if err != nil {
			return err
		}
		if err := host.KillAll(ours); err != nil {
			return err
		}
	}
	return nil
}

func ourProcesses(l layout.Layout) ([]int, error) {
	processes, err := host.Processes()
	if err != nil {
		return nil, err
	}
	netnses := map[string]bool{}
	for _, name := range layout.Netnses() {
		if identity := host.NetnsIdentity(name); identity != "" {
			netnses[identity] = true
		}
	}
	spared := ancestors()
	var ours []int
	for _, process := range processes {
		if (process.Marker == l.State || netnses[process.Netns]) && !spared[process.PID] {
			ours = append(ours, process.PID)
		}
	}
	return ours, nil
}

// ancestors are this process and those that wait for it: a "ground down" typed
// in a shell that the ground itself started must not kill itself.
func ancestors() map[int]bool {
	spared := map[int]bool{}
	for pid := os.Getpid(); pid > 1; pid = host.Parent(pid) {
		spared[pid] = true
	}
	return spared
}

// Remains describes what is left of a ground that is down; empty when nothing.
func Remains(l layout.Layout) ([]string, error) {
	var remains []string
	ours, err := ourProcesses(l)
	if err != nil {
		return nil, err
	}
	for _, pid := range ours {
		remains = append(remains, fmt.Sprintf("process %d", pid))
	}
	points, err := host.MountPoints(l.State)
	if err != nil {
		return nil, err
	}
	for _, point := range points {
		remains = append(remains, "mount "+point)
	}
	for device, backing := range host.LoopDevices() {
		if strings.HasPrefix(backing, l.State+"/") {
			remains = append(remains, "loop device "+device)
		}
	}
	for _, name := range layout.Netnses() {
		if host.NetnsExists(name) {
			remains = append(remains, "network namespace "+name)
		}
	}
	if host.CgroupsLeft() {
		remains = append(remains, "cgroups "+host.CgroupRoot)
	}
	if _, err := os.Stat(l.State); err == nil {
		remains = append(remains, "folder "+l.State)
	}
	return remains, nil
}
