package ground

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"mariadb-backup/ground/internal/database"
	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/ledger"
	"mariadb-backup/ground/internal/story"
	"mariadb-backup/ground/internal/workload"
)

func ledgerDaemon(namespace string) string { return "ledger-" + namespace }

// LedgerFile is where the ledger of a namespace is kept unless told otherwise.
func (g *Ground) LedgerFile(namespace string) string { return g.Ledger(namespace + ".log") }

// ApplicationLogin is the client that owns the data, through the Service.
func (g *Ground) ApplicationLogin(namespace string) (database.Login, error) {
	var service struct{ Spec struct{ ClusterIP string } }
	if err := g.API.Get(fmt.Sprintf("/api/v1/namespaces/%s/services/mariadb", namespace), &service); err != nil {
		return database.Login{}, err
	}
	return database.Login{
		User: "application", Password: workload.Password(g.Settings.Seed, namespace, "application"),
		Address: service.Spec.ClusterIP + ":3306",
	}, nil
}

// LedgerStart starts the ledger writer of a namespace, unless it runs.
func (g *Ground) LedgerStart(self, namespace, file string, rate float64) error {
	if rate <= 0 {
		return fmt.Errorf("a rate of %v a second writes nothing", rate)
	}
	if _, alive := host.PID(g.Layout, ledgerDaemon(namespace)); alive {
		return fmt.Errorf("the ledger of namespace %s is being written already\n  do:  ground ledger stop --namespace %s", namespace, namespace)
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	if err := g.makeLedgerTables(namespace); err != nil {
		return fmt.Errorf("cannot make the ledger's tables: %w", err)
	}
	return host.Start(g.Layout, host.Daemon{
		Name: ledgerDaemon(namespace), Program: self,
		Arguments: []string{"internal-ledger", namespace, file, fmt.Sprint(rate)},
	})
}

func (g *Ground) makeLedgerTables(namespace string) error {
	login, err := g.ApplicationLogin(namespace)
	if err != nil {
		return err
	}
	pool, err := database.Open(login, database.ShortTimeout)
	if err != nil {
		return err
	}
	defer pool.Close()
	for _, table := range ledger.Tables {
		if _, err := pool.Exec(table); err != nil {
			return err
		}
	}
	return nil
}

// LedgerStop ends the writer after the commit it is at.
func (g *Ground) LedgerStop(namespace string) error {
	return host.Stop(g.Layout, ledgerDaemon(namespace), syscall.SIGTERM)
}

// LedgerRunning tells whether the writer of a namespace runs.
func (g *Ground) LedgerRunning(namespace string) bool {
	_, alive := host.PID(g.Layout, ledgerDaemon(namespace))
	return alive
}

// WriteLedger is the writer's process.
func (g *Ground) WriteLedger(namespace, path string, rate float64) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	login, err := g.ApplicationLogin(namespace)
	if err != nil {
		return err
	}
	pool, err := database.Open(login, database.ShortTimeout)
	if err != nil {
		return err
	}
	defer pool.Close()
	commits, err := ledger.Read(path)
	if err != nil {
		return err
	}
	next, err := ledger.NextNumber(pool, commits)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	writer := ledger.Writer{Database: pool, File: file, Next: next, Complain: complainSlowly()}
	return writer.Run(ctx, rate)
}

// complainSlowly keeps a long outage from filling the log.
func complainSlowly() func(error) {
	var last time.Time
	return func(err error) {
		if time.Since(last) > time.Second {
			story.Say("%v", err)
			last = time.Now()
		}
	}
}
