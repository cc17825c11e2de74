package ground

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mariadb-backup/ground/internal/api"
	"mariadb-backup/ground/internal/cluster"
	"mariadb-backup/ground/internal/host"
)

// fillFile takes the space of a volume that is to be full.
const fillFile = ".ground-fill"

// ResolveVolume returns the volume of a claim, or the volume itself.
func (g *Ground) ResolveVolume(namespace, name string) (string, error) {
	var claim struct{ Spec struct{ VolumeName string } }
	err := g.API.Get(fmt.Sprintf("/api/v1/namespaces/%s/persistentvolumeclaims/%s", namespace, name), &claim)
	if err != nil && !errors.Is(err, api.ErrNotFound) {
		return "", err
	}
	if err == nil {
		if claim.Spec.VolumeName == "" {
			return "", fmt.Errorf("claim %s in namespace %s has no volume yet", name, namespace)
		}
		name = claim.Spec.VolumeName
	}
	if !fileExists(g.VolumeImage(name)) {
		return "", fmt.Errorf("%q is neither a claim in namespace %s nor a volume of the ground", name, namespace)
	}
	return name, nil
}

// VolumeFill leaves only so many bytes free on a volume.
func (g *Ground) VolumeFill(volume string, leave int64) error {
	return g.inject(faultFill, volume, func() error {
		return fill(filepath.Join(g.VolumeMount(volume), fillFile), leave)
	})
}

func fill(path string, leave int64) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	size := int64(0)
	// The file's own bookkeeping takes space too, so it is approached in steps.
	for step := int64(1 << 40); step >= 4096; {
		var free unix.Statfs_t
		if err := unix.Fstatfs(int(file.Fd()), &free); err != nil {
			return err
		}
		step = min(step, int64(free.Bavail)*int64(free.Bsize)-leave)
		if step < 4096 {
			return nil
		}
		err := unix.Fallocate(int(file.Fd()), 0, size, step)
		switch {
		case err == nil:
			size += step
		case errors.Is(err, syscall.ENOSPC):
			step /= 2
		default:
			return err
		}
	}
	return nil
}

func (g *Ground) volumeFree(volume string) error {
	return os.RemoveAll(filepath.Join(g.VolumeMount(volume), fillFile))
}

// VolumeReadonly makes a volume refuse writes, also from programs that have
// files on it open. The kernel does that orderly only for a volume nobody is
// writing on; otherwise as after a disk error, which takes a new mount to mend.
func (g *Ground) VolumeReadonly(volume string) error {
	return g.inject(faultReadOnly, volume, func() error {
		point := g.VolumeMount(volume)
		err := unix.Mount("", point, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		if errors.Is(err, syscall.EBUSY) {
			_, err = host.Run("mount", "-o", "remount,abort", point)
		}
		return err
	})
}

func (g *Ground) volumeWritable(volume string) error {
	point := g.VolumeMount(volume)
	if err := unix.Mount("", point, "", unix.MS_REMOUNT, ""); err == nil && writable(point) {
		return nil
	}
	return g.remountByPowerCycle(volume)
}

func writable(point string) bool {
	probe := filepath.Join(point, ".ground-probe")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return false
	}
	return os.Remove(probe) == nil
}

// remountByPowerCycle mounts a volume anew after an abort. Nothing may hold it
// meanwhile, and only a node without power holds nothing for certain.
func (g *Ground) remountByPowerCycle(volume string) error {
	n, err := g.nodeOfVolume(volume)
	if err != nil {
		return err
	}
	if err := cluster.PowerOff(g.Layout, n); err != nil {
		return err
	}
	// An earlier try may have got as far as this.
	if err := unix.Unmount(g.VolumeMount(volume), 0); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("cannot unmount %s: %w", volume, err)
	}
	if err := g.waitUntilDetached(volume); err != nil {
		return err
	}
	if err := host.MountImage(g.VolumeImage(volume), g.VolumeMount(volume)); err != nil {
		return err
	}
	if fileExists(g.faultFile(faultName(faultNodeOff, fmt.Sprint(n)))) {
		return nil
	}
	return g.nodeOn(fmt.Sprint(n))
}

// waitUntilDetached waits until no process of the node that went down holds the
// file system any more: mounted again before that, it would still be the
// aborted one.
func (g *Ground) waitUntilDetached(volume string) error {
	return waitUntil(time.Minute, "nothing holds volume "+volume, func() (bool, error) {
		_, err := g.volumeDevice(volume)
		return err != nil, nil
	})
}

func (g *Ground) nodeOfVolume(volume string) (int, error) {
	var found struct {
		Metadata struct{ Labels map[string]string }
	}
	if err := g.API.Get("/api/v1/persistentvolumes/"+volume, &found); err != nil {
		return 0, err
	}
	return ParseNode(found.Metadata.Labels["ground/node"])
}

func slowDaemon(volume string) string { return "fault-slow-" + volume }

// VolumeSlow limits reads and writes of a volume, also for pods yet to come.
func (g *Ground) VolumeSlow(self, volume string, bytesPerSecond int64) error {
	if bytesPerSecond <= 0 {
		return fmt.Errorf("%d bytes per second would stop the volume for ever", bytesPerSecond)
	}
	return g.inject(faultSlow, volume, func() error {
		device, err := g.volumeDevice(volume)
		if err != nil {
			return err
		}
		if err := host.Throttle(device, bytesPerSecond); err != nil {
			return err
		}
		return host.Start(g.Layout, host.Daemon{
			Name: slowDaemon(volume), Program: self,
			Arguments: []string{"internal-throttle", device, fmt.Sprint(bytesPerSecond)},
		})
	})
}

// ThrottleForever keeps the limit on groups that are made later.
func ThrottleForever(device string, bytesPerSecond int64) error {
	for {
		if err := host.Throttle(device, bytesPerSecond); err != nil {
			return err
		}
		time.Sleep(300 * time.Millisecond)
	}
}

func (g *Ground) volumeNormal(volume string) error {
	if err := host.Stop(g.Layout, slowDaemon(volume), syscall.SIGKILL); err != nil {
		return err
	}
	device, err := g.volumeDevice(volume)
	if err != nil {
		return err
	}
	return host.Throttle(device, 0)
}

// volumeDevice returns the numbers of the loop device of a volume.
func (g *Ground) volumeDevice(volume string) (string, error) {
	for device, backing := range host.LoopDevices() {
		if backing == g.VolumeImage(volume) {
			numbers, err := os.ReadFile("/sys/block/" + filepath.Base(device) + "/dev")
			return strings.TrimSpace(string(numbers)), err
		}
	}
	return "", fmt.Errorf("volume %s is not mounted", volume)
}
