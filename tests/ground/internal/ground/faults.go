package ground

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"mariadb-backup/ground/internal/layout"
)

// Fault is something broken on purpose and not mended yet.
type Fault struct {
	// Name identifies it: the kind, and what it was done to.
	Name  string    `json:"name"`
	Kind  string    `json:"kind"`
	On    string    `json:"on"`
	Since time.Time `json:"since"`
}

// Fault kinds that last until they are undone.
const (
	faultNodeOff     = "node-off"
	faultKubeletStop = "kubelet-stop"
	faultPartition   = "partition"
	faultAPIDown     = "api-down"
	faultFill        = "volume-fill"
	faultReadOnly    = "volume-readonly"
	faultSlow        = "volume-slow"
	faultS3Stop      = "s3-stop"
	faultS3Fail      = "s3-fail"
	faultS3Slow      = "s3-slow"
)

// menders says how each lasting fault is undone, given what it was done to.
func (g *Ground) menders() map[string]func(on string) error {
	return map[string]func(string) error{
		faultNodeOff:     g.nodeOn,
		faultKubeletStop: g.kubeletStart,
		faultPartition:   g.heal,
		faultAPIDown:     g.apiUp,
		faultFill:        g.volumeFree,
		faultReadOnly:    g.volumeWritable,
		faultSlow:        g.volumeNormal,
		faultS3Stop:      g.s3Start,
		faultS3Fail:      g.s3Heal,
		faultS3Slow:      g.s3Heal,
	}
}

func faultName(kind, on string) string {
	return strings.TrimSuffix(kind+":"+strings.ReplaceAll(on, "/", ":"), ":")
}

func (g *Ground) faultFile(name string) string { return filepath.Join(g.Faults(), name+".json") }

// inject records a fault, then makes it: a record of a fault that did not
// happen is harmless, an unrecorded one is not.
func (g *Ground) inject(kind, on string, make func() error) error {
	fault := Fault{Name: faultName(kind, on), Kind: kind, On: on, Since: time.Now().UTC()}
	if fileExists(g.faultFile(fault.Name)) {
		return fmt.Errorf("%s is active already\n  do:  ground fault undo %s", fault.Name, fault.Name)
	}
	text, err := json.Marshal(fault)
	if err != nil {
		return err
	}
	if err := layout.WriteFile(g.faultFile(fault.Name), text, 0o644); err != nil {
		return err
	}
	if err := make(); err != nil {
		// What a half made fault left is the mender's to find.
		_ = g.mendFault(fault)
		return fmt.Errorf("cannot inject %s: %w", fault.Name, err)
	}
	return nil
}

func (g *Ground) mendFault(fault Fault) error {
	mender, known := g.menders()[fault.Kind]
	if !known {
		return fmt.Errorf("fault kind %q is not known", fault.Kind)
	}
	if err := mender(fault.On); err != nil {
		return fmt.Errorf("cannot undo %s: %w", fault.Name, err)
	}
	return os.RemoveAll(g.faultFile(fault.Name))
}

// ActiveFaults lists the lasting faults, oldest first.
func (g *Ground) ActiveFaults() []Fault {
	files, _ := filepath.Glob(g.faultFile("*"))
	faults := []Fault{}
	for _, file := range files {
		var fault Fault
		text, err := os.ReadFile(file)
		// One undone in this moment by somebody else is not active any more.
		if err == nil && json.Unmarshal(text, &fault) == nil {
			faults = append(faults, fault)
		}
	}
	sort.Slice(faults, func(a, b int) bool { return faults[a].Since.Before(faults[b].Since) })
	return faults
}

// UndoFault undoes one fault by its name or by what it is and was done to.
func (g *Ground) UndoFault(name string) error {
	for _, fault := range g.ActiveFaults() {
		if fault.Name == name {
			return g.mendFault(fault)
		}
	}
	return fmt.Errorf("no fault %q is active; see ground fault list", name)
}

// UndoAllFaults undoes every fault, the latest first.
func (g *Ground) UndoAllFaults() error {
	faults := g.ActiveFaults()
	for n := len(faults) - 1; n >= 0; n-- {
		if err := g.mendFault(faults[n]); err != nil {
			return err
		}
	}
	return nil
}
