package ground

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
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
func (g *Ground) S3Fail(self, namespace string, status int, share float64) error {
	if share <= 0 || share > 1 || status < 500 || status > 599 {
		return fmt.Errorf("a share of %v and status %d are not failures of a server", share, status)
	}
	return g.inject(faultS3Fail, namespace, func() error {
		pods, err := g.podsByLabel(namespace, "app%3Ds3")
		if err != nil {
			return err
		}
		if len(pods) != 1 {
			return fmt.Errorf("namespace %s has %d S3 pods, not one", namespace, len(pods))
		}
		target := fmt.Sprintf("%s:%d", pods[0].Status.PodIP, S3Port)
		err = host.Start(g.Layout, host.Daemon{
			Name: failingDaemon, Netns: layout.ControlNetns, Program: self,
			Arguments: []string{"internal-failing-s3", target, fmt.Sprint(status), fmt.Sprint(share)},
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

// ServeFailingS3 is the front: it fails every so many requests and passes the
// others on unchanged, with the Host header their signature covers.
func ServeFailingS3(target string, status int, share float64) error {
	proxy := &httputil.ReverseProxy{Rewrite: func(request *httputil.ProxyRequest) {
		request.SetURL(&url.URL{Scheme: "http", Host: target})
		request.Out.Host = request.In.Host
	}}
	var count atomic.Int64
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if failsNow(count.Add(1), share) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(status)
			fmt.Fprint(w, "<Error><Code>ServiceUnavailable</Code><Message>made to fail</Message></Error>")
			return
		}
		proxy.ServeHTTP(w, r)
	})
	return http.ListenAndServe(fmt.Sprintf("%s:%d", layout.ControlIP, failingS3Port), handler)
}

// failsNow spreads the failures evenly, so that a test can count on them.
func failsNow(request int64, share float64) bool {
	return int64(float64(request)*share) > int64(float64(request-1)*share)
}

// DeletePod deletes a pod, by force without waiting for its node.
func (g *Ground) DeletePod(namespace, name string, force bool) error {
	path := fmt.Sprintf("/api/v1/namespaces/%s/pods/%s", namespace, name)
	if force {
		path += "?gracePeriodSeconds=0"
	}
	return g.API.Do("DELETE", path, "", nil, nil)
}
