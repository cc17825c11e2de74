package host

import (
	"os"
	"os/exec"
	"testing"

	"mariadb-backup/ground/internal/layout"
)

func TestAPidThatWasUsedAgainIsNotTheDaemon(t *testing.T) {
	l := layout.Layout{State: t.TempDir()}
	record := func(text string) {
		if err := layout.WriteFile(l.PIDFile("daemon"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	self := os.Getpid()
	record("not a pid\n")
	if _, alive := PID(l, "daemon"); alive {
		t.Error("nonsense is taken for a process")
	}
	record("1 12345678901\n")
	if _, alive := PID(l, "daemon"); alive {
		t.Error("another process is taken for the daemon")
	}
	if !Alive(self) || startTime(self) == "" {
		t.Error("this process is not alive")
	}
}

func TestAnEndedProcessIsNotAliveEvenBeforeItIsReaped(t *testing.T) {
	command := exec.Command("true")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for Alive(command.Process.Pid) {
	}
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
}
