package selftest

import (
	"database/sql"
	"fmt"
	"time"

	"mariadb-backup/ground/internal/database"
	"mariadb-backup/ground/internal/ledger"
)

func (t *test) startLedger() error {
	file := t.ground.LedgerFile(namespace)
	if err := t.ground.LedgerStart(t.Self, namespace, file, 50); err != nil {
		return err
	}
	return until(10*time.Second, "100 commits are acknowledged", func() bool {
		commits, err := ledger.Read(file)
		return err == nil && len(commits) >= 100
	})
}

func (t *test) checkLedger() error {
	if err := t.ground.LedgerStop(namespace); err != nil {
		return err
	}
	commits, err := ledger.Read(t.ground.LedgerFile(namespace))
	if err != nil {
		return err
	}
	login, err := t.ground.ApplicationLogin(namespace)
	if err != nil {
		return err
	}
	pool, err := database.Open(login, database.ShortTimeout)
	if err != nil {
		return err
	}
	defer pool.Close()
	entries, err := readEntries(pool)
	if err != nil {
		return err
	}
	for _, commit := range commits {
		if _, there := entries[commit.N]; !there {
			return fmt.Errorf("transaction %d was acknowledged and is not there", commit.N)
		}
	}
	return checkWhole(pool, entries)
}

func readEntries(pool *sql.DB) (map[int64]string, error) {
	rows, err := pool.Query("SELECT n, sum FROM ledger.entries")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	entries := map[int64]string{}
	for rows.Next() {
		var n int64
		var sum string
		if err := rows.Scan(&n, &sum); err != nil {
			return nil, err
		}
		entries[n] = sum
	}
	return entries, rows.Err()
}

// checkWhole finds transactions of which only a part is there.
func checkWhole(pool *sql.DB, entries map[int64]string) error {
	for n, sum := range entries {
		if _, expected := ledger.Payload(n); sum != expected {
			return fmt.Errorf("transaction %d has another content than was written", n)
		}
	}
	var halves int
	if err := pool.QueryRow("SELECT COUNT(*) FROM ledger.halves h JOIN ledger.entries e USING (n)").Scan(&halves); err != nil {
		return err
	}
	var all int
	if err := pool.QueryRow("SELECT COUNT(*) FROM ledger.halves").Scan(&all); err != nil {
		return err
	}
	if halves != 2*len(entries) || all != halves {
		return fmt.Errorf("%d transactions have %d halves of %d", len(entries), halves, all)
	}
	return nil
}
