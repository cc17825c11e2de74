package layout

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Settings are what was chosen when a ground was brought up.
type Settings struct {
	Series   string `json:"series"`
	Replicas int    `json:"replicas"`
	Policy   string `json:"policy"`
	APIPort  int    `json:"apiPort"`
	// Seed is what all passwords of the ground are derived from.
	Seed string `json:"seed"`
	// MadeFolders are mount points on the machine that did not exist before.
	MadeFolders []string `json:"madeFolders"`
}

// ReadSettings returns the settings of the ground, running or ruined.
func (l Layout) ReadSettings() (Settings, error) {
	var settings Settings
	text, err := os.ReadFile(l.Settings())
	if err != nil {
		return settings, err
	}
	if err := json.Unmarshal(text, &settings); err != nil {
		return settings, fmt.Errorf("cannot read %s: %w", l.Settings(), err)
	}
	return settings, nil
}

// WriteSettings records the settings.
func (l Layout) WriteSettings(settings Settings) error {
	text, err := json.MarshalIndent(settings, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(l.Settings(), text, 0o600)
}

// WriteFile writes a whole file at once, making its folder.
func WriteFile(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	partial := fmt.Sprintf("%s.%d.partial", path, os.Getpid())
	if err := os.WriteFile(partial, content, mode); err != nil {
		return err
	}
	return os.Rename(partial, path)
}
