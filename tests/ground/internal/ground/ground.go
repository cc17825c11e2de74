// Package ground is the whole: it builds, starts, looks at and takes down the
// cluster with its workload.
package ground

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"

	"mariadb-backup/ground/internal/api"
	"mariadb-backup/ground/internal/build"
	"mariadb-backup/ground/internal/cluster"
	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/images"
	"mariadb-backup/ground/internal/layout"
)

// Ground is a ground that is up.
type Ground struct {
	layout.Layout
	Settings layout.Settings
	API      *api.Client
}

// ErrDown is what every command needing a running ground answers without one.
var ErrDown = errors.New("the ground is down\n  do:  make ground")

// Open returns the running ground.
func Open(l layout.Layout) (*Ground, error) {
	settings, err := l.ReadSettings()
	if err != nil || !cluster.Running(l) {
		return nil, ErrDown
	}
	client, err := api.New(l, settings.APIPort)
	if err != nil {
		return nil, err
	}
	return &Ground{Layout: l, Settings: settings, API: client}, nil
}

// ExportLine is what a shell evaluates to use the ground.
func ExportLine(l layout.Layout) string {
	return fmt.Sprintf("export KUBECONFIG=%s PATH=%s:$PATH", l.Kubeconfig(), l.Bin())
}

// Lock makes commands that start or stop the ground wait for each other.
func Lock(l layout.Layout) (release func(), err error) {
	if os.Geteuid() != 0 {
		return nil, notRoot
	}
	if err := os.MkdirAll(l.Cache, 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(l.Cached("lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", file.Name(), err)
	}
	return func() { file.Close() }, nil
}

// Made is everything a ground is started from.
type Made struct {
	Programs build.Programs
	Golden   string
}

// Make builds what the cache lacks for a series.
func Make(l layout.Layout, series string) (Made, error) {
	var made Made
	var weed, server string
	err := host.Parallel(
		func() (err error) { made.Programs, err = build.MakePrograms(l); return err },
		func() (err error) { weed, err = build.Weed(l); return err },
		func() (err error) {
			if err = os.MkdirAll(l.Cached("images"), 0o755); err == nil {
				server, err = images.ServerArchive(l, series)
			}
			return err
		},
	)
	if err != nil {
		return made, err
	}
	system, err := images.SystemArchive(l, made.Programs, weed)
	if err != nil {
		return made, err
	}
	made.Golden, err = images.Golden(l, system, server)
	if err != nil {
		return made, err
	}
	return made, installTools(l, made.Programs)
}

// installTools puts kubectl and this program into the folder for PATH.
func installTools(l layout.Layout, programs build.Programs) error {
	if err := os.MkdirAll(l.Bin(), 0o755); err != nil {
		return err
	}
	if err := replaceLink(filepath.Join(programs.Kube, "kubectl"), filepath.Join(l.Bin(), "kubectl")); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil || self == filepath.Join(l.Bin(), "ground") {
		return err
	}
	// A copy: the program may have been built into a folder that goes away.
	content, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	return layout.WriteFile(filepath.Join(l.Bin(), "ground"), content, 0o755)
}

func replaceLink(target, link string) error {
	if current, err := os.Readlink(link); err == nil && current == target {
		return nil
	}
	if err := os.RemoveAll(link); err != nil {
		return err
	}
	return os.Symlink(target, link)
}

func sortedKeys(set map[string]bool) []string {
	var keys []string
	for key := range set {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
