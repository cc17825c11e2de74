package cluster

import (
	"fmt"
	"io"
	"net"
	"os"

	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/layout"
)

const preferredAPIPort = 16443

// apiTarget is where the API server listens in its namespace.
const apiTarget = layout.ControlIP + ":6443"

// startForwarder makes the API reachable on a loopback port. The socket is made
// here, in the machine's namespace, and inherited by a process in the control
// plane's: a socket stays where it was made.
func startForwarder(l layout.Layout) (int, error) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", preferredAPIPort))
	if err != nil {
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return 0, err
		}
	}
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return 0, err
	}
	defer file.Close()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return port, host.Start(l, host.Daemon{
		Name:      "forwarder",
		Netns:     layout.ControlNetns,
		Program:   self,
		Arguments: []string{"internal-forward", apiTarget},
		Files:     []*os.File{file},
	})
}

// Forward serves the listener on descriptor 3 by connecting to a target.
func Forward(target string) error {
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go forwardOne(connection.(*net.TCPConn), target)
	}
}

func forwardOne(client *net.TCPConn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		// A reset comes nearer to "connection refused" than an orderly end.
		_ = client.SetLinger(0)
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, server)
}
