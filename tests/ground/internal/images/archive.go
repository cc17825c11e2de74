// Package images writes container images without any registry or builder, and
// gets them into the nodes.
package images

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// Layer is the uncompressed tar of one layer.
type Layer struct {
	Path string
	// Digest is its sha256 in hex.
	Digest string
}

// Image is a list of layers and how to start what is in them.
type Image struct {
	Reference  string
	Layers     []Layer
	Entrypoint []string
	Env        []string
	User       string
}

type archiveEntry struct {
	Config   string   `json:"Config"`
	RepoTags []string `json:"RepoTags"`
	Layers   []string `json:"Layers"`
}

// WriteArchive writes images as one docker-archive. Layers that several images
// share are written once. It appears under its name only when whole.
func WriteArchive(path string, images ...Image) error {
	return writeWhole(path, func(archive *tar.Writer) error { return writeImages(archive, images) })
}

// writeWhole writes an archive that appears under its name only when whole.
func writeWhole(path string, write func(*tar.Writer) error) error {
	partial := path + ".partial"
	file, err := os.Create(partial)
	if err != nil {
		return err
	}
	defer file.Close()
	archive := tar.NewWriter(file)
	if err := write(archive); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return os.Rename(partial, path)
}

func writeImages(archive *tar.Writer, images []Image) error {
	var manifest []archiveEntry
	written := map[string]bool{}
	for _, image := range images {
		entry := archiveEntry{RepoTags: []string{image.Reference}}
		for _, layer := range image.Layers {
			name := layer.Digest + ".tar"
			entry.Layers = append(entry.Layers, name)
			if written[name] {
				continue
			}
			written[name] = true
			if err := addFile(archive, name, layer.Path, 0o644); err != nil {
				return err
			}
		}
		config, err := imageConfig(image)
		if err != nil {
			return err
		}
		digest := sha256.Sum256(config)
		entry.Config = hex.EncodeToString(digest[:]) + ".json"
		if err := addBytes(archive, entry.Config, config, 0o644); err != nil {
			return err
		}
		manifest = append(manifest, entry)
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	return addBytes(archive, "manifest.json", text, 0o644)
}

func imageConfig(image Image) ([]byte, error) {
	var diffs []string
	for _, layer := range image.Layers {
		diffs = append(diffs, "sha256:"+layer.Digest)
	}
	return json.Marshal(map[string]any{
		"architecture": "amd64",
		"os":           "linux",
		// A fixed time: the same content gives the same image.
		"created": time.Unix(0, 0).UTC().Format(time.RFC3339),
		"config":  map[string]any{"Entrypoint": image.Entrypoint, "Env": image.Env, "User": image.User},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": diffs},
	})
}

// sink is where entries go: an archive, or one that changes them on the way.
type sink interface {
	WriteHeader(*tar.Header) error
	io.Writer
}

// undated is an archive whose entries bear no time, so that whenever it is
// written its bytes are the same.
type undated struct{ *tar.Writer }

func (u undated) WriteHeader(header *tar.Header) error {
	header.ModTime = time.Unix(0, 0)
	return u.Writer.WriteHeader(header)
}

func addBytes(archive sink, name string, content []byte, mode int64) error {
	header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(content))}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := archive.Write(content)
	return err
}

func addFile(archive sink, name, path string, mode int64) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: info.Size()}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return err
}
