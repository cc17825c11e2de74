package api

import (
	"fmt"
	"strings"
)

// plurals names the kinds the ground applies, and whether they lie in a
// namespace.
var plurals = map[string]struct {
	name       string
	namespaced bool
}{
	"Namespace":          {"namespaces", false},
	"PersistentVolume":   {"persistentvolumes", false},
	"StorageClass":       {"storageclasses", false},
	"ClusterRole":        {"clusterroles", false},
	"ClusterRoleBinding": {"clusterrolebindings", false},

	"ServiceAccount":        {"serviceaccounts", true},
	"ConfigMap":             {"configmaps", true},
	"Secret":                {"secrets", true},
	"Service":               {"services", true},
	"PersistentVolumeClaim": {"persistentvolumeclaims", true},
	"Pod":                   {"pods", true},
	"Deployment":            {"deployments", true},
	"StatefulSet":           {"statefulsets", true},
	"EndpointSlice":         {"endpointslices", true},
	"Role":                  {"roles", true},
	"RoleBinding":           {"rolebindings", true},
}

// Path returns where an object lives in the API.
func Path(object Object) (string, error) {
	version, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	metadata, _ := object["metadata"].(Object)
	name, _ := metadata["name"].(string)
	namespace, _ := metadata["namespace"].(string)
	plural, known := plurals[kind]
	switch {
	case !known:
		return "", fmt.Errorf("kind %q is none the ground applies", kind)
	case version == "" || name == "":
		return "", fmt.Errorf("a %s without apiVersion or name", kind)
	case plural.namespaced != (namespace != ""):
		return "", fmt.Errorf("%s %s: namespace %q does not fit its kind", kind, name, namespace)
	}
	path := "/apis/" + version
	if !strings.Contains(version, "/") {
		path = "/api/" + version
	}
	if namespace != "" {
		path += "/namespaces/" + namespace
	}
	return path + "/" + plural.name + "/" + name, nil
}
