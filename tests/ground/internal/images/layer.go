package images

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// writeLayer writes a layer's tar and hashes it on the way.
func writeLayer(path string, fill func(*tar.Writer) error) (Layer, error) {
	file, err := os.Create(path)
	if err != nil {
		return Layer{}, err
	}
	defer file.Close()
	hash := sha256.New()
	archive := tar.NewWriter(io.MultiWriter(file, hash))
	if err := fill(archive); err != nil {
		return Layer{}, err
	}
	if err := archive.Close(); err != nil {
		return Layer{}, err
	}
	return Layer{Path: path, Digest: hex.EncodeToString(hash.Sum(nil))}, nil
}

// addTree adds a whole root file system.
func addTree(archive *tar.Writer, root string) error {
	linked := map[uint64]string{}
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return addEntry(archive, name, path, linked)
	})
}

// addEntry adds one file as it is. linked remembers what has several names, so
// that hard links stay hard links.
func addEntry(archive sink, name, path string, linked map[uint64]string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket != 0 {
		return err
	}
	target := ""
	if info.Mode()&os.ModeSymlink != 0 {
		if target, err = os.Readlink(path); err != nil {
			return err
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	header.Name = name
	if info.IsDir() {
		header.Name += "/"
	}
	// Names would be looked up on this machine; the numbers are what counts.
	header.Uname, header.Gname = "", ""
	stat := info.Sys().(*syscall.Stat_t)
	if info.Mode().IsRegular() && stat.Nlink > 1 {
		if first, seen := linked[stat.Ino]; seen {
			header.Typeflag, header.Linkname, header.Size = tar.TypeLink, first, 0
			return archive.WriteHeader(header)
		}
		linked[stat.Ino] = name
	}
	if err := archive.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(archive, file)
	return err
}

// addFolder adds a folder with nothing in it.
func addFolder(archive sink, name string, mode int64) error {
	return archive.WriteHeader(&tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: mode})
}
