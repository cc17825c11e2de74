// Package workload is what runs on the ground: a Galera cluster, an S3 server,
// and the name service both need.
package workload

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"text/template"

	"mariadb-backup/ground/internal/images"
)

//go:embed manifests
var manifests embed.FS

// DefaultNamespace and DefaultStatefulSet are where "ground up" puts the Galera.
const (
	DefaultNamespace   = "demo"
	DefaultStatefulSet = "mariadb-server"
)

// ClientConfig is where the server container keeps root's option file.
const ClientConfig = "/etc/ground-root/client.cnf"

// Galera is one cluster as it was asked for.
type Galera struct {
	Flavour
	Namespace   string
	StatefulSet string
	Replicas    int
	// Policy is the StatefulSet's podManagementPolicy.
	Policy string
	Series string
	// WithoutTool takes the image that has no mariadb-backup.
	WithoutTool bool
	SST         string
	DataBytes   int64
	BackupBytes int64
	// Seed is the ground's; passwords come from it, so that applying twice
	// changes nothing.
	Seed string
}

// Check refuses what cannot work, before anything is made.
func (g Galera) Check() error {
	switch {
	case g.Namespace == "" || g.StatefulSet == "":
		return fmt.Errorf("a Galera needs a namespace and a name")
	case g.Replicas < 1:
		return fmt.Errorf("%d replicas are none", g.Replicas)
	case len(g.Policies) == 0:
		return fmt.Errorf("a Galera needs a flavour")
	case !slices.Contains(g.Policies, g.Policy):
		return fmt.Errorf("policy %q does not fit the flavour %s, which takes %s", g.Policy, g.Name, strings.Join(g.Policies, " or "))
	case g.SST != "rsync" && g.SST != "mariabackup":
		return fmt.Errorf("state transfer %q is neither rsync nor mariabackup", g.SST)
	}
	return nil
}

// Password derives a password of the namespace.
func (g Galera) Password(purpose string) string { return Password(g.Seed, g.Namespace, purpose) }

// Password derives a password from the ground's seed.
func Password(seed, namespace, purpose string) string {
	code := hmac.New(sha256.New, []byte(seed))
	fmt.Fprintf(code, "%s/%s", namespace, purpose)
	return hex.EncodeToString(code.Sum(nil))[:20]
}

// Image is the server image.
func (g Galera) Image() string {
	if g.WithoutTool {
		return images.ServerReferenceWithoutTool(g.Series)
	}
	return images.ServerReference(g.Series)
}

// Script is a script of the flavour, to be put into a ConfigMap.
func (g Galera) Script(name string) (string, error) {
	text, err := manifests.ReadFile("manifests/" + g.Name + "/" + name)
	return string(text), err
}

// Manifest returns the YAML of the cluster: what all flavours share, then its own.
func (g Galera) Manifest() (string, error) {
	accounts, err := render("accounts.yaml", g)
	if err != nil {
		return "", err
	}
	cluster, err := render(g.Name+"/galera.yaml", g)
	return accounts + "---\n" + cluster, err
}

// S3Manifest returns the YAML of the S3 server of a namespace.
func S3Manifest(namespace, seed string) (string, error) {
	return render("s3.yaml", Galera{Namespace: namespace, Seed: seed})
}

// SystemManifest returns the YAML of what every cluster of the ground needs.
func SystemManifest() (string, error) {
	text, err := manifests.ReadFile("manifests/system.yaml")
	return string(text), err
}

func render(name string, values any) (string, error) {
	parsed, err := template.New(path.Base(name)).Funcs(template.FuncMap{"indent": indent}).ParseFS(manifests, "manifests/"+name)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := parsed.Execute(&text, values); err != nil {
		return "", fmt.Errorf("cannot fill in %s: %w", name, err)
	}
	return text.String(), nil
}

// indent moves a text to the right, as YAML wants it inside a block.
func indent(blanks int, text string) string {
	margin := strings.Repeat(" ", blanks)
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for n, line := range lines {
		if line != "" {
			lines[n] = margin + line
		}
	}
	return strings.Join(lines, "\n")
}
