// Package database reaches MariaDB on the ground from this machine, which has
// no address of its own in the cluster's networks.
package database

import (
	"database/sql"
	"time"

	"github.com/go-sql-driver/mysql"

	"mariadb-backup/ground/internal/host"
)

// Login is who connects to what.
type Login struct {
	User     string
	Password string
	// Address is a pod's or a Service's, with port.
	Address  string
	Database string
}

// ShortTimeout outlasts flow control, but not a network that is gone.
const ShortTimeout = 10 * time.Second

// Open returns a pool whose connections give up an answer after a time.
func Open(login Login, timeout time.Duration) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd = login.User, login.Password
	config.Net, config.Addr, config.DBName = "tcp", login.Address, login.Database
	config.DialFunc = host.DialThroughNodes
	config.ReadTimeout, config.WriteTimeout = timeout, timeout
	config.InterpolateParams = true
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}
