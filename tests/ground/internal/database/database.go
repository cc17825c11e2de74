// Package database reaches MariaDB on the ground from this machine, which has
// no address of its own in the cluster's networks.
package database

import (
	"context"
	"database/sql"
	"net"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/layout"
)

// Login is who connects to what.
type Login struct {
	User     string
	Password string
	// Address is a pod's or a Service's, with port.
	Address  string
	Database string
}

const (
	dialTimeout = 2 * time.Second
	// ioTimeout outlasts flow control, but not a network that is gone.
	ioTimeout = 10 * time.Second
)

// Open returns a pool of connections made in the nodes' network namespaces.
// Only there Service addresses lead anywhere.
func Open(login Login, timeout time.Duration) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd = login.User, login.Password
	config.Net, config.Addr, config.DBName = "tcp", login.Address, login.Database
	config.DialFunc = dialThroughNodes
	config.ReadTimeout, config.WriteTimeout = timeout, timeout
	config.InterpolateParams = true
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// OpenWithTimeouts is Open for a client that must notice a dead network.
func OpenWithTimeouts(login Login) (*sql.DB, error) { return Open(login, ioTimeout) }

// node is the one that worked last; the next is tried when it does not.
var node atomic.Int64

func dialThroughNodes(ctx context.Context, network, address string) (connection net.Conn, err error) {
	for range layout.NodeCount {
		n := int(node.Load())%layout.NodeCount + 1
		err = host.InNetns(layout.NodeNetns(n), func() (err error) {
			dialer := net.Dialer{Timeout: dialTimeout}
			connection, err = dialer.DialContext(ctx, network, address)
			return err
		})
		if err == nil {
			return connection, nil
		}
		node.Add(1)
	}
	return nil, err
}
