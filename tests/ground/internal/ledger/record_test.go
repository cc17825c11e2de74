package ledger

import (
	"reflect"
	"strings"
	"testing"
)

func TestCommitsSurviveBeingWritten(t *testing.T) {
	seqno := int64(42)
	commits := []Commit{{N: 1, Seqno: &seqno, UnixMS: 1000}, {N: 2, UnixMS: 1001}}
	text := commits[0].Line() + commits[1].Line()
	if text != "1 42 1000\n2 ? 1001\n" {
		t.Errorf("written as %q", text)
	}
	read, err := parse(strings.NewReader(text))
	if err != nil || !reflect.DeepEqual(read, commits) {
		t.Errorf("read as %+v, %v", read, err)
	}
}

func TestALineStillBeingWrittenIsNotRead(t *testing.T) {
	commits, err := parse(strings.NewReader("1 42 1000\n2 43 10"))
	if err != nil || len(commits) != 1 {
		t.Errorf("%+v, %v", commits, err)
	}
}

func TestALineThatIsNoneIsAnError(t *testing.T) {
	for _, line := range []string{"1 42\n", "x 42 1000\n", "1 x 1000\n", "\n"} {
		if _, err := parse(strings.NewReader(line)); err == nil {
			t.Errorf("%q is taken for a commit", line)
		}
	}
}

func TestAFileThatIsNotThereIsAnEmptyLedger(t *testing.T) {
	commits, err := Read(t.TempDir() + "/none")
	if err != nil || commits == nil || len(commits) != 0 {
		t.Errorf("%v, %v", commits, err)
	}
}
