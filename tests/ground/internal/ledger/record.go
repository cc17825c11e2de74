// Package ledger is a client that knows what it was promised: it commits
// numbered transactions and writes down each commit the cluster acknowledged.
// After any disaster, what is in the file must be in the cluster.
package ledger

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Commit is one acknowledged transaction.
type Commit struct {
	N int64 `json:"n"`
	// Seqno is how far the cluster was right after the commit, so never less
	// than the commit's own number; nil when the connection broke before it
	// could be asked for.
	Seqno  *int64 `json:"seqno"`
	UnixMS int64  `json:"unixMs"`
}

// Line is the commit as it stands in the file: number, seqno or "?", time.
func (c Commit) Line() string {
	seqno := "?"
	if c.Seqno != nil {
		seqno = fmt.Sprint(*c.Seqno)
	}
	return fmt.Sprintf("%d %s %d\n", c.N, seqno, c.UnixMS)
}

// Read reads a ledger's file; one that is not there is empty.
func Read(path string) ([]Commit, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return []Commit{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parse(file)
}

func parse(text io.Reader) ([]Commit, error) {
	commits := []Commit{}
	reader := bufio.NewReader(text)
	for {
		line, err := reader.ReadString('\n')
		if errors.Is(err, io.EOF) {
			// A line without its end is still being written.
			return commits, nil
		}
		if err != nil {
			return nil, err
		}
		commit, err := parseLine(line)
		if err != nil {
			return nil, err
		}
		commits = append(commits, commit)
	}
}

func parseLine(line string) (Commit, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return Commit{}, fmt.Errorf("ledger line %q has not three fields", line)
	}
	n, errN := strconv.ParseInt(fields[0], 10, 64)
	at, errAt := strconv.ParseInt(fields[2], 10, 64)
	commit := Commit{N: n, UnixMS: at}
	var errSeqno error
	if fields[1] != "?" {
		var seqno int64
		seqno, errSeqno = strconv.ParseInt(fields[1], 10, 64)
		commit.Seqno = &seqno
	}
	if err := errors.Join(errN, errAt, errSeqno); err != nil {
		return Commit{}, fmt.Errorf("ledger line %q: %w", line, err)
	}
	return commit, nil
}
