package images

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"mariadb-backup/ground/internal/layout"
)

// AgentProgram is where the agent lies in its image.
const AgentProgram = "usr/local/bin/mariadb-backup-agent"

// agentPackages are all a dynamic Rust binary needs of Debian.
var agentPackages = []string{"libc6:amd64", "libgcc-s1:amd64"}

// certificates is the bundle of public authorities, for S3 over TLS.
const certificates = "etc/ssl/certs/ca-certificates.crt"

// AgentArchive writes the agent image around a binary and returns its archive
// and reference. The tag comes from the content, so a new build is a new image
// and an old one is never mistaken for it.
func AgentArchive(l layout.Layout, rootfs, binary string) (archive, reference string, err error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return "", "", err
	}
	digest := sha256.Sum256(append([]byte(filepath.Base(rootfs)), content...))
	tag := hex.EncodeToString(digest[:])[:12]
	reference = "localhost/mariadb-backup-agent:" + tag
	archive = l.Cached("agent", tag+".tar")
	err = makeOnce(archive, func(scratch string) error {
		return WriteAgent(archive, scratch, rootfs, reference, content)
	})
	if err != nil {
		return "", "", err
	}
	return archive, reference, removeOldAgents(archive)
}

// WriteAgent writes the agent image around a binary as one OCI archive: the
// same files give the same bytes.
func WriteAgent(archive, scratch, rootfs, reference string, binary []byte) error {
	base, err := writeLayer(filepath.Join(scratch, "base"), func(w *tar.Writer) error {
		return addAgentBase(undated{w}, rootfs)
	})
	if err != nil {
		return err
	}
	program, err := writeLayer(filepath.Join(scratch, "program"), func(w *tar.Writer) error {
		return addBytes(w, AgentProgram, binary, 0o755)
	})
	if err != nil {
		return err
	}
	return WriteOCI(archive, Image{
		Reference: reference, Layers: []Layer{base, program},
		Entrypoint: []string{"/" + AgentProgram}, User: "65532:65532",
	})
}

// keptAgents is how many builds stay in the cache, for going back by hand.
const keptAgents = 3

func removeOldAgents(current string) error {
	archives, err := filepath.Glob(filepath.Join(filepath.Dir(current), "*.tar"))
	if err != nil {
		return err
	}
	age := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return info.ModTime().UnixNano()
	}
	sort.Slice(archives, func(a, b int) bool { return age(archives[a]) > age(archives[b]) })
	for n, archive := range archives {
		if n >= keptAgents && archive != current {
			if err := os.Remove(archive); err != nil {
				return err
			}
		}
	}
	return nil
}

// addAgentBase takes the packages' files out of a server's root file system,
// which has them already.
func addAgentBase(archive sink, rootfs string) error {
	files, err := packageFiles(rootfs)
	if err != nil {
		return err
	}
	linked := map[uint64]string{}
	for _, name := range append([]string{"bin", "sbin", "lib", "lib64", certificates}, files...) {
		path := filepath.Join(rootfs, name)
		if _, err := os.Lstat(path); os.IsNotExist(err) {
			// Documentation is listed by its package but was left out.
			continue
		}
		if err := addEntry(archive, name, path, linked); err != nil {
			return err
		}
	}
	passwd := "root:x:0:0:root:/root:/sbin/nologin\nagent:x:65532:65532:agent:/:/sbin/nologin\n"
	if err := addBytes(archive, "etc/passwd", []byte(passwd), 0o644); err != nil {
		return err
	}
	return addFolder(archive, "tmp", 0o1777)
}

// packageFiles lists the files and links of the packages, by the place they
// really lie at: /lib is a link into /usr.
func packageFiles(rootfs string) ([]string, error) {
	found := map[string]bool{}
	for _, name := range agentPackages {
		text, err := os.ReadFile(filepath.Join(rootfs, "var/lib/dpkg/info", name+".list"))
		if err != nil {
			return nil, err
		}
		for _, path := range strings.Fields(string(text)) {
			path = strings.TrimPrefix(path, "/")
			if strings.HasPrefix(path, "lib") {
				path = "usr/" + path
			}
			info, err := os.Lstat(filepath.Join(rootfs, path))
			if err == nil && !info.IsDir() {
				found[path] = true
			}
		}
	}
	var files []string
	for path := range found {
		files = append(files, path)
	}
	sort.Strings(files)
	return files, nil
}
