package images

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"mariadb-backup/ground/internal/build"
	"mariadb-backup/ground/internal/layout"
	"mariadb-backup/ground/internal/story"
)

// References of the images that carry no version of their own.
const (
	PauseReference   = "localhost/pause:1"
	CoreDNSReference = "localhost/coredns:1"
	S3Reference      = "localhost/s3:1"
)

// ServerReference names the server image of a series.
func ServerReference(series string) string { return "localhost/mariadb-server:" + series }

// ServerReferenceWithoutTool names the server image that has no mariadb-backup.
func ServerReferenceWithoutTool(series string) string { return ServerReference(series) + "-nobackup" }

// SystemArchive returns the archive of pause, CoreDNS and the S3 server.
func SystemArchive(l layout.Layout, programs build.Programs, weed string) (string, error) {
	target := l.Cached("images", "system-"+shortHash(programs.Pause, programs.CoreDNS, weed)+".tar")
	return target, makeOnce(target, func(scratch string) error {
		var images []Image
		for reference, program := range map[string]string{
			PauseReference: programs.Pause, CoreDNSReference: programs.CoreDNS, S3Reference: weed,
		} {
			name := filepath.Base(program)
			layer, err := writeLayer(filepath.Join(scratch, name), func(archive *tar.Writer) error {
				return addProgram(archive, name, program)
			})
			if err != nil {
				return err
			}
			images = append(images, Image{Reference: reference, Layers: []Layer{layer}, Entrypoint: []string{"/" + name}})
		}
		return WriteArchive(target, images...)
	})
}

func addProgram(archive *tar.Writer, name, program string) error {
	if err := addFile(archive, name, program, 0o755); err != nil {
		return err
	}
	return addFolder(archive, "tmp", 0o1777)
}

// ServerArchive returns the archive of a series' server image, and of the same
// without mariadb-backup, which shares its layer.
func ServerArchive(l layout.Layout, series string) (string, error) {
	root, err := build.Rootfs(l, series)
	if err != nil {
		return "", err
	}
	target := l.Cached("images", "mariadb-server-"+filepath.Base(root)+".tar")
	return target, makeOnce(target, func(scratch string) error {
		story.Say("writing the server image of MariaDB %s", series)
		layer, err := writeLayer(filepath.Join(scratch, "server"), func(archive *tar.Writer) error {
			return addTree(archive, root)
		})
		if err != nil {
			return err
		}
		removal, err := writeLayer(filepath.Join(scratch, "removal"), removeBackupProgram)
		if err != nil {
			return err
		}
		server := Image{
			Reference: ServerReference(series),
			Layers:    []Layer{layer},
			Env:       []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		}
		without := server
		without.Reference = ServerReferenceWithoutTool(series)
		without.Layers = []Layer{layer, removal}
		return WriteArchive(target, server, without)
	})
}

// removeBackupProgram writes the marks by which a layer takes files away.
func removeBackupProgram(archive *tar.Writer) error {
	for _, name := range []string{"mariadb-backup", "mariabackup"} {
		if err := addBytes(archive, "usr/bin/.wh."+name, nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// makeOnce calls a function with a scratch folder unless the target is there.
func makeOnce(target string, make func(scratch string) error) error {
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	scratch := target + ".scratch"
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if err := make(scratch); err != nil {
		return fmt.Errorf("cannot make %s: %w", filepath.Base(target), err)
	}
	return nil
}

func shortHash(words ...string) string {
	hash := sha256.New()
	for _, word := range words {
		fmt.Fprintf(hash, "%s\n", word)
	}
	return hex.EncodeToString(hash.Sum(nil))[:12]
}
