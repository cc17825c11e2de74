package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CgroupRoot is the group all nodes of the ground lie in.
const CgroupRoot = "mariadb-backup-ground"

const cgroupMount = "/sys/fs/cgroup"

const cgroup2Magic = 0x63677270

// CgroupV2 tells whether the machine has the unified hierarchy only.
func CgroupV2() bool {
	var stat unix.Statfs_t
	return unix.Statfs(cgroupMount, &stat) == nil && stat.Type == cgroup2Magic
}

// hierarchies lists the mounted hierarchies a container may have groups in.
func hierarchies() []string {
	if CgroupV2() {
		return []string{cgroupMount}
	}
	entries, _ := os.ReadDir(cgroupMount)
	var folders []string
	for _, entry := range entries {
		// Symbolic links such as cpu -> cpu,cpuacct are left out.
		if entry.IsDir() {
			folders = append(folders, filepath.Join(cgroupMount, entry.Name()))
		}
	}
	return folders
}

// MakeNodeCgroups makes the group of a node in every hierarchy.
func MakeNodeCgroups(node string) error {
	for _, hierarchy := range hierarchies() {
		parent := filepath.Join(hierarchy, CgroupRoot)
		for _, folder := range []string{parent, filepath.Join(parent, node)} {
			if err := makeCgroup(folder); err != nil {
				return fmt.Errorf("cannot make cgroup %s: %w", folder, err)
			}
		}
	}
	return nil
}

func makeCgroup(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if CgroupV2() {
		return delegateControllers(filepath.Dir(folder))
	}
	// A new cpuset group is empty and takes no process until it is filled.
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(filepath.Dir(folder), file))
		if err != nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, file), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// delegateControllers lets the groups below a group use its controllers.
func delegateControllers(folder string) error {
	controllers, err := os.ReadFile(filepath.Join(folder, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(controllers)) {
		if err := os.WriteFile(filepath.Join(folder, "cgroup.subtree_control"), []byte("+"+controller), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// RemoveCgroups removes the group of one node, or of all with an empty name.
func RemoveCgroups(node string) error {
	for _, hierarchy := range hierarchies() {
		if err := removeTree(filepath.Join(hierarchy, CgroupRoot, node)); err != nil {
			return err
		}
	}
	return nil
}

// removeTree removes groups from the leaves up; their files cannot be removed.
func removeTree(top string) error {
	folders := groupsBelow(top)
	sort.Slice(folders, func(a, b int) bool { return len(folders[a]) > len(folders[b]) })
	for _, folder := range folders {
		if err := removeCgroup(folder, 5*time.Second); err != nil {
			return fmt.Errorf("cannot remove cgroup: %w", err)
		}
	}
	return nil
}

// removeCgroup waits for the last processes of a group, which are killed but
// may take a moment to go.
func removeCgroup(folder string, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		err := os.Remove(folder)
		if err == nil || os.IsNotExist(err) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// CgroupsLeft tells whether any group of the ground is there.
func CgroupsLeft() bool {
	for _, hierarchy := range hierarchies() {
		if _, err := os.Stat(filepath.Join(hierarchy, CgroupRoot)); err == nil {
			return true
		}
	}
	return false
}

// PodCgroups returns the groups of a pod in one controller, its own first.
func PodCgroups(controller, node, podUID string) []string {
	hierarchy := filepath.Join(cgroupMount, controller)
	if CgroupV2() {
		hierarchy = cgroupMount
	}
	var found []string
	for _, class := range []string{"", "burstable", "besteffort"} {
		pod := filepath.Join(hierarchy, CgroupRoot, node, "kubepods", class, "pod"+podUID)
		if _, err := os.Stat(pod); err != nil {
			continue
		}
		found = append(found, groupsBelow(pod)...)
	}
	return found
}

// CgroupProcesses lists the processes in a group.
func CgroupProcesses(group string) ([]int, error) {
	text, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, line := range strings.Fields(string(text)) {
		var pid int
		if _, err := fmt.Sscan(line, &pid); err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// Throttle limits what every group of the ground, and the kernel's own
// write-back, may read and write on a device each second; 0 lifts the limit.
func Throttle(device string, bytesPerSecond int64) error {
	if CgroupV2() {
		return throttleV2(device, bytesPerSecond)
	}
	hierarchy := filepath.Join(cgroupMount, "blkio")
	groups := append([]string{hierarchy}, groupsBelow(filepath.Join(hierarchy, CgroupRoot))...)
	rule := fmt.Sprintf("%s %d", device, bytesPerSecond)
	for _, group := range groups {
		for _, direction := range []string{"read", "write"} {
			err := setThrottle(filepath.Join(group, "blkio.throttle."+direction+"_bps_device"), rule)
			// A container's group may end while this runs.
			if err != nil && !os.IsNotExist(err) && !errors.Is(err, unix.ENODEV) {
				return fmt.Errorf("cannot throttle %s: %w", device, err)
			}
		}
	}
	return nil
}

// setThrottle leaves a rule that is set already alone: setting it again would
// start its budget anew, and waiting programs would never get theirs.
func setThrottle(file, rule string) error {
	rules, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, set := range strings.Split(string(rules), "\n") {
		if set == rule {
			return nil
		}
	}
	return os.WriteFile(file, []byte(rule), 0o644)
}

// throttleV2 needs one rule only: there limits hold for all groups below.
func throttleV2(device string, bytesPerSecond int64) error {
	limit := "max"
	if bytesPerSecond > 0 {
		limit = fmt.Sprint(bytesPerSecond)
	}
	rule := fmt.Sprintf("%s rbps=%s wbps=%s", device, limit, limit)
	return os.WriteFile(filepath.Join(cgroupMount, CgroupRoot, "io.max"), []byte(rule), 0o644)
}

func groupsBelow(top string) []string {
	var groups []string
	_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			groups = append(groups, path)
		}
		return nil
	})
	return groups
}
