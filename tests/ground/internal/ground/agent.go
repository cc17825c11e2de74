package ground

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mariadb-backup/ground/internal/api"
	"mariadb-backup/ground/internal/build"
	"mariadb-backup/ground/internal/cluster"
	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/images"
	"mariadb-backup/ground/internal/layout"
)

// Agent is the last built agent image.
type Agent struct {
	Reference string `json:"reference"`
	Archive   string `json:"archive"`
}

func agentRecord(l layout.Layout) string { return l.Cached("agent", "current.json") }

// ReadAgent returns the last built agent image.
func ReadAgent(l layout.Layout) (Agent, error) {
	var agent Agent
	text, err := os.ReadFile(agentRecord(l))
	if err != nil {
		return agent, err
	}
	return agent, json.Unmarshal(text, &agent)
}

// PluginName is the file name by which kubectl finds the plugin.
const PluginName = "kubectl-mariadb_backup"

// MakeAgent builds the agent image around a binary, remembers it, puts the
// plugin into the folder for PATH, and imports the image when the ground is up.
func MakeAgent(l layout.Layout, binary, plugin string) (Agent, error) {
	rootfs, err := build.Rootfs(l, build.DefaultSeries)
	if err != nil {
		return Agent{}, err
	}
	archive, reference, err := images.AgentArchive(l, rootfs, binary)
	if err != nil {
		return Agent{}, fmt.Errorf("cannot build the agent image: %w", err)
	}
	agent := Agent{Reference: reference, Archive: archive}
	if plugin != "" {
		if err := installPlugin(l, plugin); err != nil {
			return agent, fmt.Errorf("cannot install the plugin: %w", err)
		}
	}
	g, err := Open(l)
	switch {
	case errors.Is(err, ErrDown):
	case err != nil:
		return agent, err
	default:
		if err := g.importAgent(agent); err != nil {
			return agent, err
		}
	}
	text, err := json.Marshal(agent)
	if err != nil {
		return agent, err
	}
	return agent, layout.WriteFile(agentRecord(l), text, 0o644)
}

func installPlugin(l layout.Layout, plugin string) error {
	content, err := os.ReadFile(plugin)
	if err != nil {
		return err
	}
	// A rename, so that a plugin that is running is not written into.
	return layout.WriteFile(filepath.Join(l.Bin(), PluginName), content, 0o755)
}

func (g *Ground) importAgent(agent Agent) error { return g.importArchive(agent.Archive) }

// importArchive brings images into all nodes that are on, at once.
func (g *Ground) importArchive(archive string) error {
	var imports []func() error
	for n := 1; n <= layout.NodeCount; n++ {
		if _, on := host.PID(g.Layout, layout.NodeName(n)); !on {
			continue
		}
		imports = append(imports, func() error {
			_, err := cluster.RunInNode(g.Layout, n, "ctr", "--namespace", "k8s.io", "images", "import", archive)
			return err
		})
	}
	if err := host.Parallel(imports...); err != nil {
		return fmt.Errorf("cannot import %s: %w", filepath.Base(archive), err)
	}
	return nil
}

func ignoreNotFound(err error) error {
	if errors.Is(err, api.ErrNotFound) {
		return nil
	}
	return err
}
