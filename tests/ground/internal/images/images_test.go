package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// entries reads an archive into name and content.
func entries(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	found := map[string]string{}
	for archive := tar.NewReader(file); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := found[header.Name]; twice {
			t.Errorf("%s is there twice", header.Name)
		}
		found[header.Name] = string(content) + header.Linkname
	}
}

func TestImagesOfOneArchiveShareTheirLayers(t *testing.T) {
	folder := t.TempDir()
	layer := func(name string) Layer {
		made, err := writeLayer(filepath.Join(folder, name), func(w *tar.Writer) error {
			return addBytes(w, name, []byte(name), 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	base, top := layer("base"), layer("top")
	archive := filepath.Join(folder, "images.tar")
	err := WriteArchive(archive,
		Image{Reference: "localhost/a:1", Layers: []Layer{base}},
		Image{Reference: "localhost/a:1-more", Layers: []Layer{base, top}, User: "7:7"})
	if err != nil {
		t.Fatal(err)
	}
	found := entries(t, archive)
	var manifest []archiveEntry
	if err := json.Unmarshal([]byte(found["manifest.json"]), &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest) != 2 || !slices.Equal(manifest[1].Layers, []string{base.Digest + ".tar", top.Digest + ".tar"}) {
		t.Errorf("manifest: %+v", manifest)
	}
	for _, entry := range manifest {
		for _, name := range append(entry.Layers, entry.Config) {
			if _, there := found[name]; !there {
				t.Errorf("%s is named and not there", name)
			}
		}
	}
}

func TestATreeKeepsLinksAndModes(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "file"), []byte("content"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Link(filepath.Join(root, "file"), filepath.Join(root, "twin")), os.Symlink("file", filepath.Join(root, "way"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "layer")
	if _, err := writeLayer(path, func(w *tar.Writer) error { return addTree(w, root) }); err != nil {
		t.Fatal(err)
	}
	found := entries(t, path)
	want := map[string]string{"file": "content", "twin": "file", "way": "file"}
	for name, content := range want {
		if found[name] != content {
			t.Errorf("%s holds %q, not %q", name, found[name], content)
		}
	}
}

func TestTheSameContentIsTheSameLayer(t *testing.T) {
	folder := t.TempDir()
	fill := func(w *tar.Writer) error { return addBytes(w, "name", []byte("content"), 0o644) }
	first, err := writeLayer(filepath.Join(folder, "1"), fill)
	if err != nil {
		t.Fatal(err)
	}
	second, err := writeLayer(filepath.Join(folder, "2"), fill)
	if err != nil || first.Digest != second.Digest {
		t.Errorf("%s and %s, %v", first.Digest, second.Digest, err)
	}
}

func TestMakeOnceLeavesNoScratchAndDoesNotMakeTwice(t *testing.T) {
	target := filepath.Join(t.TempDir(), "target")
	made := 0
	for range 2 {
		err := makeOnce(target, func(string) error { made++; return os.WriteFile(target, nil, 0o644) })
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(target + ".scratch"); made != 1 || !os.IsNotExist(err) {
		t.Errorf("made %d times, scratch: %v", made, err)
	}
}

func TestAnImageWrittenTwiceIsTheSameWhateverTheTime(t *testing.T) {
	root := t.TempDir()
	write := func(name string) []byte {
		program := filepath.Join(root, "program")
		if err := os.WriteFile(program, []byte("content"), 0o755); err != nil {
			t.Fatal(err)
		}
		// As if it had been installed at another time.
		if err := os.Chtimes(program, time.Time{}, time.Unix(int64(len(name)), 0)); err != nil {
			t.Fatal(err)
		}
		layer, err := writeLayer(filepath.Join(t.TempDir(), "layer"), func(w *tar.Writer) error {
			return addEntry(undated{w}, "program", program, map[uint64]string{})
		})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(root, name)
		if err := WriteOCI(path, Image{Reference: "localhost/a:1", Layers: []Layer{layer}, User: "7:7"}); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	if !bytes.Equal(write("one"), write("another")) {
		t.Error("the archives differ")
	}
}

func TestEveryBlobOfAnImageIsThereUnderItsSum(t *testing.T) {
	folder := t.TempDir()
	layer, err := writeLayer(filepath.Join(folder, "layer"), func(w *tar.Writer) error {
		return addBytes(w, "name", []byte("content"), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "image.tar")
	if err := WriteOCI(path, Image{Reference: "registry.example:5000/a:1", Layers: []Layer{layer}}); err != nil {
		t.Fatal(err)
	}
	found := entries(t, path)
	blob := func(d descriptor) string {
		content := found[blobName(d.Digest)]
		if sum := sha256.Sum256([]byte(content)); d.Digest != "sha256:"+hex.EncodeToString(sum[:]) || d.Size != int64(len(content)) {
			t.Errorf("%+v does not describe its %d bytes", d, len(content))
		}
		return content
	}
	read := func(text string) document {
		var read document
		if err := json.Unmarshal([]byte(text), &read); err != nil {
			t.Fatal(err)
		}
		return read
	}
	root := read(found["index.json"]).Manifests[0]
	if tag := root.Annotations["org.opencontainers.image.ref.name"]; tag != "1" {
		t.Errorf("tag: %s", tag)
	}
	manifest := read(blob(root))
	if !strings.Contains(blob(*manifest.Config), layer.Digest) || len(manifest.Layers) != 1 {
		t.Errorf("manifest: %+v", manifest)
	}
	blob(manifest.Layers[0])
}
