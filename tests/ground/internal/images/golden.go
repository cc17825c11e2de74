package images

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/layout"
	"mariadb-backup/ground/internal/story"
)

// ContainerdSocket is where containerd listens inside a node.
const ContainerdSocket = "/run/containerd/containerd.sock"

// Golden returns a containerd root in which the archives are unpacked. Nodes
// start from hard-linked copies of it, so importing costs seconds once instead
// of at each start, and the page cache holds each file once.
func Golden(l layout.Layout, archives ...string) (string, error) {
	target := l.Cached("golden", shortHash(archives...))
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	story.Say("unpacking the images")
	partial := target + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	command := exec.Command(self, append([]string{"internal-golden", partial}, archives...)...)
	command.Env = l.Environment()
	// Its own namespaces: whatever happens inside, nothing of it stays.
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID}
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot unpack the images: %w\n%s", err, output)
	}
	return target, os.Rename(partial, target)
}

// FillGolden runs inside namespaces of its own: it starts a throwaway
// containerd on the folder and imports the archives.
func FillGolden(folder string, archives []string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := privateRun(); err != nil {
		return err
	}
	config := "/run/containerd.toml"
	text := fmt.Sprintf("version = 2\nroot = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n", folder)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	containerd := exec.Command("containerd", "--config", config)
	if err := containerd.Start(); err != nil {
		return err
	}
	if err := WaitForContainerd(20 * time.Second); err != nil {
		return err
	}
	for _, archive := range archives {
		if _, err := host.Run("ctr", "--namespace", "k8s.io", "images", "import", archive); err != nil {
			return err
		}
	}
	// A clean end writes its databases out.
	if err := containerd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	_ = containerd.Wait()
	return nil
}

// privateRun gives this mount namespace its own /run and /proc.
func privateRun() error {
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	return unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755")
}

// WaitForContainerd waits until containerd answers on its socket.
func WaitForContainerd(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		_, err := host.Run("ctr", "version")
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("containerd does not answer: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// CloneGolden makes the containerd root of a node.
func CloneGolden(golden, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if _, err := host.Run("cp", "-al", golden, target); err != nil {
		return fmt.Errorf("cannot link the unpacked images; state and cache must lie on one file system: %w", err)
	}
	// The databases are written to in place; each node needs its own.
	for _, database := range []string{
		"io.containerd.metadata.v1.bolt/meta.db",
		"io.containerd.snapshotter.v1.overlayfs/metadata.db",
	} {
		path := filepath.Join(target, database)
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
