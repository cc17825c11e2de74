package selftest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"mariadb-backup/ground/internal/ground"
	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/workload"
)

const (
	namespace = workload.DefaultNamespace
	// patience is for a node that comes back: Kubernetes takes its time.
	patience = 3 * time.Minute
)

func replica(ordinal int) string { return fmt.Sprintf("%s-%d", workload.DefaultStatefulSet, ordinal) }

// breaks injects a fault, waits for its effect, undoes it, and waits until all
// is well.
func (t *test) breaks(inject error, what string, effect func() bool) error {
	if inject != nil {
		return inject
	}
	if err := until(patience, what, effect); err != nil {
		return err
	}
	if err := t.ground.UndoAllFaults(); err != nil {
		return err
	}
	return t.ground.WaitHealthy(patience)
}

func (t *test) killContainer() error {
	_, err := t.ground.KillContainer(namespace, replica(1), "mariadb", "", syscall.SIGKILL)
	return t.breaks(err, "a replica is missing", t.replicaMissing)
}

func (t *test) replicaMissing() bool { return t.ground.Status().Replicas < t.Wanted.Replicas }

func (t *test) nodeMissing() bool { return t.ground.Status().Nodes == 2 }

func (t *test) nodeOff() error {
	return t.breaks(t.ground.NodeOff(3), "Kubernetes misses the node", t.nodeMissing)
}

func (t *test) partition() error {
	return t.breaks(t.ground.Partition(2), "Kubernetes misses the node", t.nodeMissing)
}

func (t *test) kubeletHangs() error {
	return t.breaks(t.ground.KubeletStop(3), "Kubernetes misses the node", t.nodeMissing)
}

func (t *test) apiDown() error {
	if err := t.ground.APIDown(t.Self, 3*time.Second); err != nil {
		return err
	}
	if t.ground.API.Ready() {
		return errors.New("the API server still answers")
	}
	if err := until(30*time.Second, "the API server is back", t.ground.API.Ready); err != nil {
		return err
	}
	return t.ground.WaitHealthy(patience)
}

// spare is a volume nothing uses.
const spare = "spare-backup-2"

func (t *test) writeSpare(bytes int) error {
	path := filepath.Join(t.VolumeMount(spare), "selftest")
	defer os.Remove(path)
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(make([]byte, bytes)); err != nil {
		return err
	}
	return file.Sync()
}

func (t *test) volumeRefuses(inject error, with syscall.Errno) error {
	err := t.breaks(inject, "writes fail with "+with.Error(), func() bool { return errors.Is(t.writeSpare(1<<20), with) })
	if err != nil {
		return err
	}
	return t.writeSpare(1 << 20)
}

func (t *test) volumeFill() error {
	return t.volumeRefuses(t.ground.VolumeFill(spare, 0), syscall.ENOSPC)
}

func (t *test) volumeReadonly() error {
	return t.volumeRefuses(t.ground.VolumeReadonly(spare), syscall.EROFS)
}

func (t *test) volumeSlow() error {
	slow := func() bool {
		began := time.Now()
		return t.writeSpare(2<<20) == nil && time.Since(began) > time.Second
	}
	if err := t.breaks(t.ground.VolumeSlow(t.Self, spare, 1<<20), "2 MiB take over a second at 1 MiB/s", slow); err != nil {
		return err
	}
	if slow() {
		return errors.New("the volume is still slow")
	}
	return nil
}

// s3Answer asks the Service as a client would, with a connection of its own.
func (t *test) s3Answer() int {
	var service struct{ Spec struct{ ClusterIP string } }
	if err := t.ground.API.Get("/api/v1/namespaces/"+namespace+"/services/s3", &service); err != nil {
		return 0
	}
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{
		DialContext: host.DialThroughNodes, DisableKeepAlives: true,
	}}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+service.Spec.ClusterIP+":8333/healthz", nil)
	if err != nil {
		return 0
	}
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

func (t *test) s3Fails() error {
	return t.s3Breaks(t.ground.S3Fail(t.Self, namespace, ground.S3Front{Status: 503, Share: 1}), 503)
}

func (t *test) s3Slow() error {
	// It answers as ever: what is slow is what is sent to it.
	return t.s3Breaks(t.ground.S3Slow(t.Self, namespace, 1<<20), 200)
}

func (t *test) s3Stops() error { return t.s3Breaks(t.ground.S3Stop(namespace), 0) }

func (t *test) s3Breaks(inject error, answer int) error {
	err := t.breaks(inject, fmt.Sprintf("S3 answers %d", answer), func() bool { return t.s3Answer() == answer })
	if err != nil {
		return err
	}
	return until(30*time.Second, "S3 answers 200", func() bool { return t.s3Answer() == 200 })
}

func (t *test) killAll() error {
	for ordinal := range t.Wanted.Replicas {
		if _, err := t.ground.KillContainer(namespace, replica(ordinal), "mariadb", "", syscall.SIGKILL); err != nil {
			return err
		}
	}
	return t.breaks(nil, "a replica is missing", t.replicaMissing)
}
