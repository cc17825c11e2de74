package ground

import (
	"encoding/json"
	"fmt"
	"syscall"
	"time"

	"mariadb-backup/ground/internal/api"
	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/layout"
)

// S3Port is the port of the S3 Service.
const S3Port = 8333

// failingS3 is where the failing front of the S3 server listens: in the control
// plane's namespace, which every pod can reach.
const failingS3Port = 18333

const failingDaemon = "fault-s3-fail"

// S3Stop ends the S3 server; what it stores stays.
func (g *Ground) S3Stop(namespace string) error {
	return g.inject(faultS3Stop, namespace, func() error { return g.scaleS3(namespace, 0) })
}

func (g *Ground) s3Start(namespace string) error { return g.scaleS3(namespace, 1) }

func (g *Ground) scaleS3(namespace string, replicas int) error {
	path := fmt.Sprintf("/apis/apps/v1/namespaces/%s/deployments/s3", namespace)
	patch := fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)
	if err := g.API.Do("PATCH", path, "application/merge-patch+json", []byte(patch), nil); err != nil {
		return err
	}
	return waitUntil(time.Minute, fmt.Sprintf("the S3 server has %d pods", replicas), func() (bool, error) {
		pods, err := g.podsByLabel(namespace, "app%3Ds3")
		return len(pods) == replicas && g.readyReplicas("deployments", namespace, "s3") == replicas, err
	})
}

// S3Fail puts a front before the S3 server that answers a share of the requests
// with an error. Connections that are open already are reset.
func (g *Ground) S3Fail(self, namespace string, front S3Front) error {
	if err := front.check(); err != nil {
		return err
	}
	return g.startFront(self, faultS3Fail, namespace, front)
}

// S3Slow puts a front before the S3 server that lets this many bytes a second through, both ways together.
func (g *Ground) S3Slow(self, namespace string, bytesPerSecond int64) error {
	if bytesPerSecond < 1 {
		return fmt.Errorf("%d bytes a second are not slow, they are nothing", bytesPerSecond)
	}
	return g.startFront(self, faultS3Slow, namespace, S3Front{BytesPerSecond: bytesPerSecond})
}

func (g *Ground) startFront(self, kind, namespace string, front S3Front) error {
	for _, active := range g.ActiveFaults() {
		if active.Kind == faultS3Fail || active.Kind == faultS3Slow {
			return fmt.Errorf("there is one front, and %s uses it\n  do:  ground fault undo %s", active.Name, active.Name)
		}
	}
	return g.inject(kind, namespace, func() error {
		address, err := g.s3Address(namespace)
		if err != nil {
			return err
		}
		front.Target = fmt.Sprintf("%s:%d", address, S3Port)
		text, err := json.Marshal(front)
		if err != nil {
			return err
		}
		err = host.Start(g.Layout, host.Daemon{
			Name: failingDaemon, Netns: layout.ControlNetns, Program: self,
			Arguments: []string{"internal-failing-s3", string(text)},
		})
		if err != nil {
			return err
		}
		if err := g.pointS3(namespace, true); err != nil {
			return err
		}
		return g.resetS3Connections(namespace, true)
	})
}

// s3Address is where the only S3 pod of a namespace listens.
func (g *Ground) s3Address(namespace string) (string, error) {
	pods, err := g.podsByLabel(namespace, "app%3Ds3")
	if err != nil {
		return "", err
	}
	if len(pods) != 1 {
		return "", fmt.Errorf("namespace %s has %d S3 pods, not one", namespace, len(pods))
	}
	return pods[0].Status.PodIP, nil
}

func (g *Ground) s3Heal(namespace string) error {
	if err := g.resetS3Connections(namespace, false); err != nil {
		return err
	}
	if err := g.pointS3(namespace, false); err != nil {
		return err
	}
	return host.Stop(g.Layout, failingDaemon, syscall.SIGKILL)
}

// pointS3 leads the Service to the failing front, or back to the server.
func (g *Ground) pointS3(namespace string, failing bool) error {
	selector := "s3"
	slice := api.Object{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
		"metadata": api.Object{
			"name": "s3-failing", "namespace": namespace,
			"labels": api.Object{"kubernetes.io/service-name": "s3"},
		},
		"addressType": "IPv4",
		"ports":       []api.Object{{"name": "s3", "port": failingS3Port, "protocol": "TCP"}},
		"endpoints":   []api.Object{{"addresses": []string{layout.ControlIP}, "conditions": api.Object{"ready": true}}},
	}
	path, err := api.Path(slice)
	if err != nil {
		return err
	}
	if failing {
		selector = "s3-failing"
		err = g.API.Apply(slice)
	} else {
		err = g.API.Delete(path)
	}
	if err != nil {
		return err
	}
	patch := fmt.Sprintf(`{"spec":{"selector":{"app":%q}}}`, selector)
	service := fmt.Sprintf("/api/v1/namespaces/%s/services/s3", namespace)
	return g.API.Do("PATCH", service, "application/merge-patch+json", []byte(patch), nil)
}

// resetS3Connections makes the server's pod refuse everybody but the front.
func (g *Ground) resetS3Connections(namespace string, refuse bool) error {
	pods, err := g.podsByLabel(namespace, "app%3Ds3")
	if err != nil {
		return err
	}
	for _, pod := range pods {
		pids, err := g.containerProcesses(namespace, pod.Metadata.Name, "s3")
		if err != nil || len(pids) == 0 {
			// A pod that does not run has no connections.
			continue
		}
		rules := "table inet ground_fault\ndelete table inet ground_fault\n"
		if refuse {
			rules += fmt.Sprintf("table inet ground_fault {\n chain input {\n  type filter hook input priority 0;\n  tcp dport %d ip saddr != %s reject with tcp reset\n }\n}\n", S3Port, layout.ControlIP)
		}
		if _, err := host.RunInput(rules, "nsenter", "--net", "--target", fmt.Sprint(pids[0]), "--", "nft", "-f", "-"); err != nil {
			return err
		}
	}
	return nil
}

// DeletePod deletes a pod, by force without waiting for its node.
func (g *Ground) DeletePod(namespace, name string, force bool) error {
	path := fmt.Sprintf("/api/v1/namespaces/%s/pods/%s", namespace, name)
	if force {
		path += "?gracePeriodSeconds=0"
	}
	return g.API.Do("DELETE", path, "", nil, nil)
}
