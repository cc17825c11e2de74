package host

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// NetnsPath is where iproute2 keeps a network namespace.
func NetnsPath(name string) string { return "/run/netns/" + name }

// NetnsExists tells whether a network namespace is there.
func NetnsExists(name string) bool {
	_, err := os.Stat(NetnsPath(name))
	return err == nil
}

// NetnsIdentity returns what /proc/PID/ns/net reads for its processes.
func NetnsIdentity(name string) string {
	var stat unix.Stat_t
	if err := unix.Stat(NetnsPath(name), &stat); err != nil {
		return ""
	}
	return fmt.Sprintf("net:[%d]", stat.Ino)
}

// InNetns runs a function with the calling thread inside a network namespace.
// Sockets made there stay there; goroutines started there do not.
func InNetns(name string, function func() error) error {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	target, err := os.Open(NetnsPath(name))
	if err != nil {
		return fmt.Errorf("no network namespace %s: %w", name, err)
	}
	defer target.Close()
	if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("cannot enter network namespace %s: %w", name, err)
	}
	result := function()
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
		// The thread stays locked, so the runtime throws it away with the goroutine.
		return fmt.Errorf("cannot leave network namespace %s: %w", name, err)
	}
	runtime.UnlockOSThread()
	return result
}

// IPBatch runs iproute2 commands, one a line, in a network namespace.
func IPBatch(netns string, commands []string) error {
	arguments := []string{"-batch", "-"}
	if netns != "" {
		arguments = append([]string{"-n", netns}, arguments...)
	}
	_, err := RunInput(strings.Join(commands, "\n")+"\n", "ip", arguments...)
	return err
}

// RemoveNetns removes a network namespace if it is there.
func RemoveNetns(name string) error {
	if !NetnsExists(name) {
		return nil
	}
	if _, err := Run("ip", "netns", "del", name); err == nil {
		return nil
	}
	// A name without a namespace mounted on it is left by a machine's restart.
	return os.Remove(NetnsPath(name))
}

// RemoveNetnsFolder takes away iproute2's own mount when nobody uses it.
func RemoveNetnsFolder() {
	if entries, _ := filepath.Glob("/run/netns/*"); len(entries) > 0 {
		return
	}
	// Others may have mounted it before us; failing to remove it is no harm.
	for unix.Unmount("/run/netns", 0) == nil {
	}
	_ = os.Remove("/run/netns")
}
