package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Tables are made before the writer starts.
var Tables = []string{
	`CREATE TABLE IF NOT EXISTS ledger.entries (n BIGINT PRIMARY KEY, payload VARCHAR(64) NOT NULL, sum CHAR(64) NOT NULL) ENGINE=InnoDB`,
	`CREATE TABLE IF NOT EXISTS ledger.halves (n BIGINT, side ENUM('left','right'), PRIMARY KEY (n, side)) ENGINE=InnoDB`,
}

// Payload returns what transaction n writes: anybody can check a row by itself.
func Payload(n int64) (payload, sum string) {
	payload = fmt.Sprintf("transaction %d of the ledger", n)
	digest := sha256.Sum256([]byte(payload))
	return payload, hex.EncodeToString(digest[:])
}

// Writer commits one transaction after another.
type Writer struct {
	Database *sql.DB
	// File is appended to.
	File *os.File
	Next int64
	// Complain is told of each error; the writer goes on.
	Complain func(error)
}

// Run writes until the context ends, so many transactions a second at most.
func (w *Writer) Run(ctx context.Context, rate float64) error {
	ticker := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		commit, err := w.commit(ctx)
		if err != nil {
			w.Complain(fmt.Errorf("transaction %d: %w", w.Next, err))
			continue
		}
		// The file is only behind the cluster, never ahead.
		if _, err := w.File.WriteString(commit.Line()); err != nil {
			return err
		}
		w.Next++
	}
}

// commit tries the next transaction once. When the answer to a commit is lost,
// the next try finds the row there and settles it.
func (w *Writer) commit(ctx context.Context) (Commit, error) {
	// An interrupted commit would be one more ambiguous answer.
	ctx = context.WithoutCancel(ctx)
	connection, err := w.Database.Conn(ctx)
	if err != nil {
		return Commit{}, err
	}
	defer connection.Close()
	err = insert(ctx, connection, w.Next)
	now := time.Now().UnixMilli()
	var refused *mysql.MySQLError
	if errors.As(err, &refused) && refused.Number == 1062 {
		return Commit{N: w.Next, UnixMS: now}, w.confirm(ctx, connection)
	}
	if err != nil {
		return Commit{}, err
	}
	return Commit{N: w.Next, Seqno: lastSeqno(ctx, connection), UnixMS: now}, nil
}

func insert(ctx context.Context, connection *sql.Conn, n int64) error {
	payload, sum := Payload(n)
	transaction, err := connection.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer transaction.Rollback()
	if _, err := transaction.Exec("INSERT INTO ledger.entries VALUES (?, ?, ?)", n, payload, sum); err != nil {
		return err
	}
	if _, err := transaction.Exec("INSERT INTO ledger.halves VALUES (?, 'left'), (?, 'right')", n, n); err != nil {
		return err
	}
	return transaction.Commit()
}

// confirm makes certain that a row found in the way is this writer's, whole.
func (w *Writer) confirm(ctx context.Context, connection *sql.Conn) error {
	var sum string
	var halves int
	err := connection.QueryRowContext(ctx,
		"SELECT sum, (SELECT COUNT(*) FROM ledger.halves h WHERE h.n = e.n) FROM ledger.entries e WHERE n = ?", w.Next).Scan(&sum, &halves)
	if err != nil {
		return err
	}
	if _, expected := Payload(w.Next); sum != expected || halves != 2 {
		return fmt.Errorf("torn: sum %s with %d halves", sum, halves)
	}
	return nil
}

// lastSeqno asks the replica that answered how far the cluster is. That is this
// commit's number, or a little more when others commit too, never less; so a
// backup at or after it must hold this commit. MariaDB's own GTID functions
// count something else.
func lastSeqno(ctx context.Context, connection *sql.Conn) *int64 {
	var name string
	var seqno int64
	row := connection.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'wsrep_last_committed'")
	if err := row.Scan(&name, &seqno); err != nil {
		return nil
	}
	return &seqno
}

// NextNumber continues after what the file and the cluster have.
func NextNumber(database *sql.DB, commits []Commit) (int64, error) {
	var last int64
	// The tables may have been made a moment ago on another replica than the one that answers here.
	const afterAllThatIsCommitted = "SET STATEMENT wsrep_sync_wait=1 FOR SELECT COALESCE(MAX(n), 0) FROM ledger.entries"
	if err := database.QueryRow(afterAllThatIsCommitted).Scan(&last); err != nil {
		return 0, err
	}
	if len(commits) > 0 {
		last = max(last, commits[len(commits)-1].N)
	}
	return last + 1, nil
}
