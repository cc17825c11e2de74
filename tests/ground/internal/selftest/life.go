package selftest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"mariadb-backup/ground/internal/cluster"
	"mariadb-backup/ground/internal/ground"
	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/workload"
)

func (t *test) down() error {
	if err := ground.Down(t.Layout); err != nil {
		return err
	}
	return t.nothingLeft()
}

func (t *test) nothingLeft() error {
	remains, err := cluster.Remains(t.Layout)
	if err != nil {
		return err
	}
	if len(remains) > 0 {
		return fmt.Errorf("left behind: %s", strings.Join(remains, ", "))
	}
	return nil
}

func (t *test) up() error {
	if err := ground.Up(t.Layout, t.Wanted); err != nil {
		return err
	}
	var err error
	t.ground, err = ground.Open(t.Layout)
	return err
}

func (t *test) upAgain() error {
	before := t.daemons()
	if err := t.up(); err != nil {
		return err
	}
	if after := t.daemons(); after != before {
		return fmt.Errorf("the processes changed from %s to %s", before, after)
	}
	return nil
}

func (t *test) daemons() string {
	var pids []string
	for _, name := range append([]string{"node-1", "node-2", "node-3"}, cluster.ControlDaemons...) {
		pid, _ := host.PID(t.Layout, name)
		pids = append(pids, fmt.Sprintf("%s=%d", name, pid))
	}
	return strings.Join(pids, " ")
}

// agent brings in an image that nobody uses, and restores what was current.
func (t *test) agent() error {
	before, errBefore := os.ReadFile(t.Cached("agent", "current.json"))
	made, err := ground.MakeAgent(t.Layout, t.Self, "")
	if err != nil {
		return err
	}
	for n := 1; n <= 3; n++ {
		list, err := cluster.RunInNode(t.Layout, n, "ctr", "--namespace", "k8s.io", "images", "list", "--quiet")
		if err != nil {
			return err
		}
		if !strings.Contains(list, made.Reference) {
			return fmt.Errorf("node %d has no image %s", n, made.Reference)
		}
	}
	if errBefore == nil {
		return os.WriteFile(t.Cached("agent", "current.json"), before, 0o644)
	}
	return os.Remove(t.Cached("agent", "current.json"))
}

func (t *test) load() error {
	return t.ground.Load(workload.DefaultNamespace, workload.DefaultStatefulSet, 20)
}

func (t *test) anotherGalera() error {
	galera := workload.Galera{
		Flavour: workload.PlainFlavour(), Namespace: "selftest", StatefulSet: "other", Replicas: 2, Policy: "OrderedReady", SST: "mariabackup",
		Series: t.Wanted.Series, DataBytes: 1 << 30, BackupBytes: 1 << 30,
	}
	if err := t.ground.CreateGalera(galera); err != nil {
		return err
	}
	if err := t.ground.DeleteGalera("selftest"); err != nil {
		return err
	}
	if left, _ := filepath.Glob(t.VolumeImage("selftest-*")); len(left) > 0 {
		return fmt.Errorf("volumes are left: %v", left)
	}
	return nil
}

// ruin kills every process of the ground, as a machine that runs out of memory
// might, and leaves its mounts, loops, namespaces and cgroups.
func (t *test) ruin() error {
	processes, err := host.Processes()
	if err != nil {
		return err
	}
	for _, process := range processes {
		if process.Marker == t.State && process.PID != os.Getpid() {
			_ = syscall.Kill(process.PID, syscall.SIGKILL)
		}
	}
	remains, err := cluster.Remains(t.Layout)
	if err != nil {
		return err
	}
	if len(remains) < 10 {
		return fmt.Errorf("the ruins are too small to show anything: %v", remains)
	}
	return nil
}

func (t *test) upOverRuins() error {
	if err := t.ruin(); err != nil {
		return err
	}
	return t.up()
}

func (t *test) downOverRuins() error {
	if err := t.ruin(); err != nil {
		return err
	}
	return t.down()
}
