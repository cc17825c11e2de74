// Package api is the little of the Kubernetes API the ground needs, over plain
// HTTP with the admin's certificate. The official client libraries would make
// this program slow to build.
package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"sigs.k8s.io/yaml"

	"mariadb-backup/ground/internal/layout"
)

// Object is any Kubernetes object.
type Object = map[string]any

// Client talks to the API server of the ground.
type Client struct {
	base string
	http *http.Client
}

// ErrNotFound is the answer for an object that is not there.
var ErrNotFound = errors.New("not found")

// New returns a client for the ground's API server.
func New(l layout.Layout, port int) (*Client, error) {
	authority, err := os.ReadFile(l.PKI("ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	certificate, err := tls.LoadX509KeyPair(l.PKI("admin.crt"), l.PKI("admin.key"))
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{certificate}},
		MaxIdleConnsPerHost: 8,
	}
	return &Client{
		base: fmt.Sprintf("https://127.0.0.1:%d", port),
		http: &http.Client{Transport: transport, Timeout: 15 * time.Second},
	}, nil
}

// Do sends one request; a body of nil sends none, an answer of nil drops it.
func (c *Client) Do(method, path, contentType string, body []byte, answer any) error {
	request, err := http.NewRequestWithContext(context.Background(), method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("API server does not answer: %w", err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	switch {
	case response.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s: %w", path, ErrNotFound)
	case response.StatusCode >= 300:
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, content)
	case answer == nil:
		return nil
	}
	return json.Unmarshal(content, answer)
}

// Get reads one object or list.
func (c *Client) Get(path string, answer any) error {
	return c.Do(http.MethodGet, path, "", nil, answer)
}

// Delete deletes one object; that it is not there is no error.
func (c *Client) Delete(path string) error {
	if err := c.Do(http.MethodDelete, path, "", nil, nil); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// Ready tells whether the API server says it is ready.
func (c *Client) Ready() bool { return c.Do(http.MethodGet, "/readyz", "", nil, nil) == nil }

// Apply makes the cluster have these objects, as "kubectl apply --server-side".
func (c *Client) Apply(objects ...Object) error {
	for _, object := range objects {
		path, err := Path(object)
		if err != nil {
			return err
		}
		body, err := json.Marshal(object)
		if err != nil {
			return err
		}
		query := "?fieldManager=ground&force=true"
		if err := c.Do(http.MethodPatch, path+query, "application/apply-patch+yaml", body, nil); err != nil {
			return fmt.Errorf("cannot apply: %w", err)
		}
	}
	return nil
}

// Parse reads the documents of a YAML text.
func Parse(text string) ([]Object, error) {
	var objects []Object
	for _, document := range bytes.Split([]byte("\n"+text), []byte("\n---\n")) {
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		var object Object
		if err := yaml.UnmarshalStrict(document, &object); err != nil {
			return nil, fmt.Errorf("bad manifest: %w in\n%s", err, document)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// ApplyText applies the documents of a YAML text, in order.
func (c *Client) ApplyText(text string) error {
	objects, err := Parse(text)
	if err != nil {
		return err
	}
	return c.Apply(objects...)
}
