package cluster

import (
	"fmt"
	"os"

	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/layout"
)

// makeNetwork makes the namespaces and the cables between them. No interface
// of the machine itself gets an address.
func makeNetwork() error {
	var add []string
	for _, name := range layout.Netnses() {
		add = append(add, "netns add "+name)
	}
	if err := host.IPBatch("", add); err != nil {
		return err
	}
	if err := host.IPBatch(layout.ControlNetns, controlLinks()); err != nil {
		return err
	}
	for n := 1; n <= layout.NodeCount; n++ {
		if err := host.IPBatch(layout.NodeNetns(n), nodeLinks(n)); err != nil {
			return err
		}
	}
	if err := host.IPBatch(layout.ControlNetns, podRoutes(0)); err != nil {
		return err
	}
	return forwardPackets()
}

func controlLinks() []string {
	commands := []string{
		"link set lo up",
		"link add br0 type bridge",
		"address add " + layout.ControlIP + "/24 dev br0",
		"link set br0 up",
	}
	for n := 1; n <= layout.NodeCount; n++ {
		link := layout.NodeLink(n)
		commands = append(commands,
			fmt.Sprintf("link add %s type veth peer name eth0 netns %s", link, layout.NodeNetns(n)),
			"link set "+link+" master br0 up")
	}
	return commands
}

func nodeLinks(n int) []string {
	commands := []string{
		"link set lo up",
		"address add " + layout.NodeIP(n) + "/24 dev eth0",
		"link set eth0 up",
		"route add default via " + layout.ControlIP,
	}
	return append(commands, podRoutes(n)...)
}

// podRoutes leads to the pods of all nodes but one.
func podRoutes(except int) []string {
	var commands []string
	for n := 1; n <= layout.NodeCount; n++ {
		if n != except {
			commands = append(commands, "route add "+layout.NodePodSubnet(n)+" via "+layout.NodeIP(n))
		}
	}
	return commands
}

func forwardPackets() error {
	for _, name := range layout.Netnses() {
		err := host.InNetns(name, func() error {
			return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// SetNodeLink plugs or unplugs the cable of a node.
func SetNodeLink(n int, up bool) error {
	state := "down"
	if up {
		state = "up"
	}
	return host.IPBatch(layout.ControlNetns, []string{"link set " + layout.NodeLink(n) + " " + state})
}
