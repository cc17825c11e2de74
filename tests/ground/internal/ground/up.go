package ground

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mariadb-backup/ground/internal/api"
	"mariadb-backup/ground/internal/build"
	"mariadb-backup/ground/internal/cluster"
	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/layout"
	"mariadb-backup/ground/internal/story"
	"mariadb-backup/ground/internal/volumes"
	"mariadb-backup/ground/internal/workload"
)

// Wanted is the ground somebody asked for.
type Wanted struct {
	Series   string
	Replicas int
	Policy   string
}

// workloadLimit is for a machine busy with compilers; alone it takes 20 s.
const workloadLimit = 5 * time.Minute

// Up makes the ground be there: from nothing, from ruins, or not at all when
// it is healthy already.
func Up(l layout.Layout, wanted Wanted) error {
	release, err := Lock(l)
	if err != nil {
		return err
	}
	defer release()
	if running, err := Open(l); err == nil {
		return running.keep(wanted)
	}
	if err := CheckPrerequisites(l); err != nil {
		return err
	}
	remains, err := cluster.Remains(l)
	if err != nil {
		return err
	}
	if len(remains) > 0 {
		story.Say("cleaning up what is left of an earlier ground (%d things)", len(remains))
		if err := cluster.Clean(l); err != nil {
			return fmt.Errorf("cannot clean up: %w", err)
		}
	}
	made, err := Make(l, wanted.Series)
	if err != nil {
		return err
	}
	return start(l, made, wanted)
}

// keep looks at a running ground and repairs what a person broke on purpose.
func (g *Ground) keep(wanted Wanted) error {
	if g.Settings.Series != wanted.Series || g.Settings.Replicas != wanted.Replicas || g.Settings.Policy != wanted.Policy {
		return Refusal{
			fmt.Sprintf("a ground is up with MariaDB %s, %d replicas, %s", g.Settings.Series, g.Settings.Replicas, g.Settings.Policy),
			"another one was asked for, and a running one is not changed",
			"ground down, then again",
		}
	}
	if status := g.Status(); status.Healthy() {
		story.Say("the ground is up")
		return nil
	}
	story.Say("the ground is up but not healthy; mending it")
	if err := g.mend(); err != nil {
		return err
	}
	return g.wait()
}

// mend undoes all faults, powers on what is off, and applies the workload anew.
func (g *Ground) mend() error {
	if err := g.UndoAllFaults(); err != nil {
		return err
	}
	programs, err := build.MakePrograms(g.Layout)
	if err != nil {
		return err
	}
	if err := cluster.StartMissing(g.Layout, programs); err != nil {
		return err
	}
	if err := cluster.WaitForAPI(g.Layout, g.API); err != nil {
		return err
	}
	for n := 1; n <= layout.NodeCount; n++ {
		if _, alive := host.PID(g.Layout, layout.NodeName(n)); !alive {
			if err := cluster.PowerOn(g.Layout, programs, n); err != nil {
				return err
			}
		}
	}
	return applyAll(g.API, g.Layout, g.Settings)
}

func start(l layout.Layout, made Made, wanted Wanted) error {
	seed := make([]byte, 16)
	if _, err := rand.Read(seed); err != nil {
		return err
	}
	settings := layout.Settings{
		Series: wanted.Series, Replicas: wanted.Replicas, Policy: wanted.Policy, Seed: hex.EncodeToString(seed),
	}
	story.Say("starting Kubernetes %s with %d nodes", build.KubernetesVersion, layout.NodeCount)
	err := cluster.Start(l, made.Programs, made.Golden, &settings, func(client *api.Client) error {
		return applyAll(client, l, settings)
	})
	if err != nil {
		return err
	}
	g, err := Open(l)
	if err != nil {
		return err
	}
	return g.wait()
}

// applyAll makes the volumes and applies every manifest of "ground up".
func applyAll(client *api.Client, l layout.Layout, settings layout.Settings) error {
	system, err := workload.SystemManifest()
	if err != nil {
		return err
	}
	if err := client.ApplyText(system); err != nil {
		return err
	}
	s3, err := workload.S3Manifest(workload.DefaultNamespace, settings.Seed)
	if err != nil {
		return err
	}
	if err := client.ApplyText(s3); err != nil {
		return err
	}
	if err := applyVolumes(client, l, volumes.Spare()); err != nil {
		return err
	}
	return applyGalera(client, l, DemoGalera(settings))
}

func applyVolumes(client *api.Client, l layout.Layout, planned []volumes.Volume) error {
	if err := volumes.Make(l, planned); err != nil {
		return err
	}
	for _, volume := range planned {
		var there api.Object
		if client.Get("/api/v1/persistentvolumes/"+volume.Name, &there) == nil {
			// Its claim may have changed by now; that is not ours to take back.
			continue
		}
		if err := client.Apply(volume.Manifest(l)); err != nil {
			return err
		}
	}
	return nil
}

func applyGalera(client *api.Client, l layout.Layout, galera workload.Galera) error {
	if err := galera.Check(); err != nil {
		return err
	}
	planned := volumes.ForGalera(galera.Namespace, galera.Claims(), galera.Replicas, galera.DataBytes, galera.BackupBytes)
	if err := applyVolumes(client, l, planned); err != nil {
		return err
	}
	manifest, err := galera.Manifest()
	if err != nil {
		return err
	}
	return client.ApplyText(manifest)
}

// wait tells the story until everything is ready.
func (g *Ground) wait() error {
	last := ""
	err := waitUntil(workloadLimit, "the ground is healthy", func() (bool, error) {
		status := g.Status()
		if line := status.Line(); line != last {
			story.Say("%s", line)
			last = line
		}
		return status.Healthy(), nil
	})
	if err != nil {
		return fmt.Errorf("%w: %s\n  do:  kubectl get pods -A; logs lie in %s", err, last, filepath.Dir(g.Log("any")))
	}
	return g.afterStart()
}

// afterStart brings the last built agent into a fresh ground.
func (g *Ground) afterStart() error {
	agent, err := ReadAgent(g.Layout)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return g.importAgent(agent)
}

// Down takes the ground away without a trace; the cache stays.
func Down(l layout.Layout) error {
	release, err := Lock(l)
	if err != nil {
		return err
	}
	defer release()
	if err := cluster.Clean(l); err != nil {
		return fmt.Errorf("cannot take the ground down: %w", err)
	}
	story.Say("the ground is down")
	return nil
}
