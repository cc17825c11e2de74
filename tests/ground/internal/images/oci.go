package images

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"strings"
)

// Media types of the OCI image specification.
const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// descriptor points to a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    map[string]string `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// document is an index or a manifest; what it does not have is left out.
type document struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        *descriptor  `json:"config,omitempty"`
	Layers        []descriptor `json:"layers,omitempty"`
	Manifests     []descriptor `json:"manifests,omitempty"`
}

// WriteOCI writes an image as one OCI archive, which containerd, podman, docker
// and skopeo take. It appears under its name only when whole.
func WriteOCI(path string, image Image) error {
	return writeWhole(path, func(archive *tar.Writer) error { return writeOCI(archive, image) })
}

func writeOCI(archive *tar.Writer, image Image) error {
	for _, folder := range []string{"blobs", "blobs/sha256"} {
		if err := addFolder(archive, folder, 0o755); err != nil {
			return err
		}
	}
	manifest := document{SchemaVersion: 2, MediaType: manifestType}
	for _, layer := range image.Layers {
		blob, err := addLayer(archive, layer)
		if err != nil {
			return err
		}
		manifest.Layers = append(manifest.Layers, blob)
	}
	text, err := imageConfig(image)
	if err != nil {
		return err
	}
	config, err := addBlob(archive, configType, text)
	if err != nil {
		return err
	}
	manifest.Config = &config
	if text, err = json.Marshal(manifest); err != nil {
		return err
	}
	root, err := addBlob(archive, manifestType, text)
	if err != nil {
		return err
	}
	root.Platform = map[string]string{"architecture": "amd64", "os": "linux"}
	root.Annotations = map[string]string{
		"io.containerd.image.name":          image.Reference,
		"org.opencontainers.image.ref.name": image.Reference[strings.LastIndex(image.Reference, ":")+1:],
	}
	text, err = json.Marshal(document{SchemaVersion: 2, MediaType: indexType, Manifests: []descriptor{root}})
	if err != nil {
		return err
	}
	if err := addBytes(archive, "index.json", text, 0o644); err != nil {
		return err
	}
	return addBytes(archive, "oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644)
}

func blobName(digest string) string {
	return "blobs/" + strings.Replace(digest, ":", "/", 1)
}

func addBlob(archive sink, mediaType string, content []byte) (descriptor, error) {
	sum := sha256.Sum256(content)
	blob := descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(content))}
	return blob, addBytes(archive, blobName(blob.Digest), content, 0o644)
}

// addLayer adds a layer compressed, by way of a file beside it.
func addLayer(archive sink, layer Layer) (descriptor, error) {
	compressed := layer.Path + ".gz"
	blob, err := compress(layer.Path, compressed)
	if err != nil {
		return descriptor{}, err
	}
	defer os.Remove(compressed)
	return blob, addFile(archive, blobName(blob.Digest), compressed, 0o644)
}

func compress(from, to string) (descriptor, error) {
	source, err := os.Open(from)
	if err != nil {
		return descriptor{}, err
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		return descriptor{}, err
	}
	defer target.Close()
	hash := sha256.New()
	writer := gzip.NewWriter(io.MultiWriter(target, hash))
	if _, err := io.Copy(writer, source); err != nil {
		return descriptor{}, err
	}
	if err := writer.Close(); err != nil {
		return descriptor{}, err
	}
	info, err := target.Stat()
	if err != nil {
		return descriptor{}, err
	}
	return descriptor{MediaType: layerType, Digest: "sha256:" + hex.EncodeToString(hash.Sum(nil)), Size: info.Size()}, nil
}
