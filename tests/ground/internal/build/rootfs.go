package build

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/layout"
	"mariadb-backup/ground/internal/story"
)

// DefaultSeries is the MariaDB series of the ground unless asked otherwise.
const DefaultSeries = "10.11"

// suites names the Debian release that brings a MariaDB series.
var suites = map[string]string{"10.5": "bullseye", "10.11": "bookworm", "11.8": "trixie"}

// CheckSeries refuses a series no Debian release brings.
func CheckSeries(series string) error {
	if _, known := suites[series]; !known {
		return fmt.Errorf("MariaDB series %q is not one of 10.5, 10.11, 11.8", series)
	}
	return nil
}

var serverPackages = []string{
	"mariadb-server", "mariadb-client", "mariadb-backup", "galera-4", "rsync", "lsof",
	"socat", "iproute2", "procps", "zstd", "pv", "ca-certificates",
}

// leftOut is documentation: a third of the size and half of the time.
var leftOut = []string{"man", "doc", "locale", "i18n", "info"}

// Rootfs returns the unpacked root of a server image, made when missing.
func Rootfs(l layout.Layout, series string) (string, error) {
	if err := CheckSeries(series); err != nil {
		return "", err
	}
	key, err := hashFiles(nil, append([]string{suites[series]}, append(serverPackages, leftOut...)...)...)
	if err != nil {
		return "", err
	}
	target := l.Cached("rootfs", series+"-"+key)
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	story.Say("making the root file system of MariaDB %s from Debian %s", series, suites[series])
	began := time.Now()
	partial := target + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(partial), 0o755); err != nil {
		return "", err
	}
	if err := debootstrap(suites[series], partial); err != nil {
		return "", err
	}
	story.Say("made the root file system of MariaDB %s in %.0f s", series, time.Since(began).Seconds())
	return target, os.Rename(partial, target)
}

func debootstrap(suite, target string) error {
	arguments := []string{"mmdebstrap", "--quiet", "--variant=minbase", "--include=" + strings.Join(serverPackages, ",")}
	for _, folder := range leftOut {
		arguments = append(arguments, "--dpkgopt=path-exclude=/usr/share/"+folder+"/*")
	}
	arguments = append(arguments,
		`--customize-hook=rm -rf "$1"/var/lib/mysql/* "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin`,
		suite, target)
	mirror, err := aptMirror()
	if err != nil {
		return err
	}
	if mirror != "" {
		arguments = append(arguments, "deb "+mirror+" "+suite+" main")
	}
	if _, err := host.Run("nice", arguments...); err != nil {
		return fmt.Errorf("cannot make a Debian %s: %w", suite, err)
	}
	return nil
}

// aptMirror returns the mirror this machine is set up to use, so that the
// ground needs no other; with none, mmdebstrap falls back to its own.
func aptMirror() (string, error) {
	output, err := host.Run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(ORIGIN)", "Created-By: Packages")
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(output, "\n") {
		fields := strings.Fields(line)
		if len(fields) >= 2 && isDebianRelease(fields[1]) && strings.Contains(line, "Debian") {
			return fields[0], nil
		}
	}
	return "", nil
}

func isDebianRelease(release string) bool {
	for _, suite := range suites {
		if release == suite {
			return true
		}
	}
	return false
}
