// Coredns is CoreDNS with only the plugins the ground uses.
//
// It is a module of its own: CoreDNS pins other versions of what Kubernetes
// shares with it.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

// A plugin missing in this list is refused by the Corefile parser even when
// it is compiled in, and the order is the order of handling.
func init() {
	dnsserver.Directives = []string{"errors", "health", "ready", "kubernetes"}
}

func main() {
	coremain.Run()
}
