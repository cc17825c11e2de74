package ground

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/layout"
)

// Refusal says what is missing, why it is needed and what to do.
type Refusal struct {
	What string
	Why  string
	Do   string
}

func (r Refusal) Error() string {
	return fmt.Sprintf("%s\n  why: %s\n  do:  %s", r.What, r.Why, r.Do)
}

var notRoot = Refusal{
	"not running as root", "the ground makes network namespaces, mounts and cgroups", "run it as root, for example with sudo",
}

const (
	neededDisk   = 12 << 30
	neededMemory = 6 << 30
)

// debianPackages names the package that brings a program.
var debianPackages = map[string]string{
	"containerd": "containerd",
	"ctr":        "containerd",
	"runc":       "runc",
	"nft":        "nftables",
	"mmdebstrap": "mmdebstrap",
	"ip":         "iproute2",
	"nsenter":    "util-linux",
	"losetup":    "util-linux",
	"mkfs.ext4":  "e2fsprogs",
	"apt-get":    "apt",
	"python3":    "python3",
	"pip3":       "python3-pip",
}

// cniPlugin is one of the programs Debian keeps outside of PATH.
const cniPlugin = "/usr/lib/cni/ptp"

// machine is what the prerequisites are judged by.
type machine struct {
	root         bool
	disk, memory uint64
	missing      []string
	filesystems  string
	loopControl  bool
	netns        bool
	other        string
}

// CheckPrerequisites returns the first thing this machine lacks.
func CheckPrerequisites(l layout.Layout) error {
	seen, err := look(l)
	if err != nil {
		return err
	}
	if refusal := judge(l, seen); refusal != nil {
		return *refusal
	}
	return nil
}

func judge(l layout.Layout, seen machine) *Refusal {
	switch {
	case !seen.root:
		return &notRoot
	case len(seen.missing) > 0:
		return &Refusal{
			"missing on this machine: " + strings.Join(seen.missing, ", "),
			"the nodes run containers with it, or the images are made with it",
			"apt-get install -y --no-install-recommends " + strings.Join(seen.missing, " "),
		}
	case !strings.Contains(seen.filesystems, "overlay"):
		return &Refusal{"this kernel has no overlay file system", "containers are stacked from layers with it", "modprobe overlay, or use a kernel built with CONFIG_OVERLAY_FS"}
	case !seen.netns:
		return &Refusal{"this kernel lets nobody make network namespaces", "each node lives in one", "use a kernel built with CONFIG_NET_NS, or a container started with --privileged"}
	case !seen.loopControl:
		return &Refusal{"/dev/loop-control is missing", "every volume is a file mounted through a loop device", "modprobe loop, or give this container /dev"}
	case seen.disk < neededDisk:
		return &Refusal{
			fmt.Sprintf("only %d MiB are free for %s", seen.disk>>20, l.Cache),
			fmt.Sprintf("builds, images and volumes need %d GiB", neededDisk>>30),
			"free some space, or point GROUND_CACHE and GROUND_STATE to one larger file system",
		}
	case seen.memory < neededMemory:
		return &Refusal{
			fmt.Sprintf("only %d MiB of memory are available", seen.memory>>20),
			fmt.Sprintf("three nodes with a Galera and their builds need %d GiB", neededMemory>>30),
			"end other programs, or use a larger machine",
		}
	case seen.other != "":
		return &Refusal{"another ground is running with its state in " + seen.other, "both would use the same network namespaces", "GROUND_STATE=" + seen.other + " ground down"}
	}
	return nil
}

func look(l layout.Layout) (machine, error) {
	seen := machine{root: os.Geteuid() == 0, missing: missingPackages()}
	if err := os.MkdirAll(l.Cache, 0o755); err != nil && seen.root {
		return seen, err
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(existingParent(l.Cache), &disk); err != nil {
		return seen, err
	}
	seen.disk = disk.Bavail * uint64(disk.Bsize)
	var err error
	if seen.memory, err = availableMemory(); err != nil {
		return seen, err
	}
	filesystems, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return seen, err
	}
	seen.filesystems = string(filesystems)
	_, err = os.Stat("/dev/loop-control")
	seen.loopControl = err == nil
	_, err = os.Stat("/proc/self/ns/net")
	seen.netns = err == nil
	seen.other, err = otherGround(l)
	return seen, err
}

func missingPackages() []string {
	missing := map[string]bool{}
	for program, debian := range debianPackages {
		if _, err := exec.LookPath(program); err != nil {
			missing[debian] = true
		}
	}
	if _, err := os.Stat(cniPlugin); err != nil {
		missing["containernetworking-plugins"] = true
	}
	return sortedKeys(missing)
}

func existingParent(path string) string {
	for path != "/" {
		if _, err := os.Stat(path); err == nil {
			return path
		}
		path = filepath.Dir(path)
	}
	return path
}

func availableMemory() (uint64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(text), "\n") {
		var kibibytes uint64
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kibibytes); err == nil {
			return kibibytes << 10, nil
		}
	}
	return 0, fmt.Errorf("/proc/meminfo does not tell MemAvailable")
}

// otherGround returns the state folder of a ground that is not this one.
func otherGround(l layout.Layout) (string, error) {
	processes, err := host.Processes()
	if err != nil {
		return "", err
	}
	control := host.NetnsIdentity(layout.ControlNetns)
	for _, process := range processes {
		if process.Marker != "" && process.Marker != l.State && process.Netns == control {
			return process.Marker, nil
		}
	}
	return "", nil
}
