package host

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MountPoints lists the mount points at or below a folder, deepest first.
func MountPoints(folder string) ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return mountPointsIn(string(text), folder), nil
}

func mountPointsIn(mountinfo, folder string) []string {
	var points []string
	for _, line := range strings.Split(mountinfo, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := unescapeMount(fields[4])
		if point == folder || strings.HasPrefix(point, folder+"/") {
			points = append(points, point)
		}
	}
	// Later mounts may lie on earlier ones at the same place.
	for left, right := 0, len(points)-1; left < right; left, right = left+1, right-1 {
		points[left], points[right] = points[right], points[left]
	}
	sort.SliceStable(points, func(a, b int) bool { return len(points[a]) > len(points[b]) })
	return points
}

// unescapeMount undoes the kernel's octal escapes.
func unescapeMount(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// The ioctl by which ext4 stops at once, and its mode that writes nothing more.
const (
	ext4Shutdown = 0x8004587d
	withoutFlush = 2
)

// DropBelow makes the volumes mounted below a folder forget what they have not
// written yet. Unmounting them is then a matter of milliseconds; it is for disks
// that are thrown away next.
//
// Below the folder other file systems are mounted too, the machine's own among
// them. Only what lies on a loop device whose file is itself below is touched.
func DropBelow(folder string) error {
	points, err := MountPoints(folder)
	if err != nil {
		return err
	}
	disposable := map[uint64]bool{}
	for device, backing := range LoopDevices() {
		var stat unix.Stat_t
		if strings.HasPrefix(backing, folder+"/") && unix.Stat(device, &stat) == nil {
			disposable[stat.Rdev] = true
		}
	}
	for _, point := range points {
		var stat unix.Stat_t
		if unix.Stat(point, &stat) == nil && disposable[stat.Dev] {
			shutDown(point)
		}
	}
	return nil
}

// shutDown stops an ext4. One that refuses is unmounted in the slow way.
func shutDown(point string) {
	directory, err := os.Open(point)
	if err != nil {
		return
	}
	defer directory.Close()
	mode := uint32(withoutFlush)
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, directory.Fd(), ext4Shutdown, uintptr(unsafe.Pointer(&mode)))
}

// UnmountBelow takes away every mount at or below a folder.
func UnmountBelow(folder string) error {
	points, err := MountPoints(folder)
	if err != nil {
		return err
	}
	for _, point := range points {
		if err := unix.Unmount(point, 0); err != nil {
			// A process that is just dying may hold it for another moment.
			if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
				return fmt.Errorf("cannot unmount %s: %w", point, err)
			}
		}
	}
	return nil
}

// BindShared mounts a folder on itself, so that mounts made below it later
// reach the nodes, whatever the propagation of the machine's root.
func BindShared(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(folder, folder, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cannot bind %s: %w", folder, err)
	}
	return unix.Mount("", folder, "", unix.MS_SHARED, "")
}

// FormatAndMount makes a sparse ext4 image of a size and mounts it. The loop
// device frees itself with the mount.
func FormatAndMount(image, point string, bytes int64) error {
	for _, folder := range []string{filepath.Dir(image), point} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	file, err := os.Create(image)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(bytes); err != nil {
		return err
	}
	if _, err := Run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", image); err != nil {
		return err
	}
	return MountImage(image, point)
}

// MountImage mounts an image that has a file system.
func MountImage(image, point string) error {
	_, err := Run("mount", "-o", "loop", image, point)
	return err
}

// LoopDevices maps each loop device to its backing file.
func LoopDevices() map[string]string {
	devices := map[string]string{}
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, file := range files {
		// A device freed in this moment has no backing file any more.
		if backing, err := os.ReadFile(file); err == nil {
			device := "/dev/" + strings.Split(file, "/")[3]
			devices[device] = strings.TrimSuffix(strings.TrimSpace(string(backing)), " (deleted)")
		}
	}
	return devices
}

// DetachLoops frees loop devices whose backing file lies below a folder.
func DetachLoops(folder string) error {
	for device, backing := range LoopDevices() {
		if strings.HasPrefix(backing, folder+"/") {
			if _, err := Run("losetup", "-d", device); err != nil {
				return err
			}
		}
	}
	return nil
}
