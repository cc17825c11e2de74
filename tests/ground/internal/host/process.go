package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mariadb-backup/ground/internal/layout"
)

// Daemon is a process that outlives the command that started it.
type Daemon struct {
	// Name is the name of its pid file and log.
	Name string
	// Netns is the network namespace it lives in; empty for the machine's.
	Netns     string
	Program   string
	Arguments []string
	// Files are inherited from descriptor 3 on.
	Files []*os.File
	// CloneFlags are the namespaces made for it.
	CloneFlags uintptr
}

// Start starts a daemon and records its pid.
func Start(l layout.Layout, daemon Daemon) error {
	program, arguments := daemon.Program, daemon.Arguments
	if daemon.Netns != "" {
		// Not "ip netns exec": that remounts /sys, and the cgroups vanish.
		arguments = append([]string{"--net=/run/netns/" + daemon.Netns, program}, arguments...)
		program = "nsenter"
	}
	log, err := openLog(l.Log(daemon.Name))
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(program, arguments...)
	command.Stdout, command.Stderr = log, log
	command.Env = l.Environment()
	command.Dir = "/"
	command.ExtraFiles = daemon.Files
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: daemon.CloneFlags}
	if err := command.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", daemon.Name, err)
	}
	pid := command.Process.Pid
	// Reaped here, so that a daemon that dies at once is not taken for alive.
	go command.Wait()
	return layout.WriteFile(l.PIDFile(daemon.Name), []byte(fmt.Sprintf("%d %s\n", pid, startTime(pid))), 0o644)
}

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
}

// PID returns the pid of a daemon that is alive.
func PID(l layout.Layout, name string) (int, bool) {
	text, err := os.ReadFile(l.PIDFile(name))
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text))
	if len(fields) != 2 {
		return 0, false
	}
	pid, err := strconv.Atoi(fields[0])
	// Pids are used again; the start time tells two processes apart.
	return pid, err == nil && startTime(pid) == fields[1]
}

// startTime identifies a process among all that ever had its pid. It is "gone"
// for one that has ended, reaped or not.
func startTime(pid int) string {
	state, fields := statFields(pid)
	if state == "" || state == "Z" || state == "X" {
		return "gone"
	}
	return fields[19]
}

// statFields returns the state and the fields after the program's name, which
// may itself hold blanks and brackets.
func statFields(pid int) (string, []string) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", nil
	}
	end := strings.LastIndexByte(string(text), ')')
	fields := strings.Fields(string(text)[end+1:])
	if end < 0 || len(fields) < 20 {
		return "", nil
	}
	return fields[0], fields
}

// Alive tells whether a pid is a process that has not ended.
func Alive(pid int) bool { return startTime(pid) != "gone" }

// stopLimit leaves a daemon asked politely the time of one lost connection.
const stopLimit = 40 * time.Second

// Stop ends a daemon with a signal and waits until it is gone.
func Stop(l layout.Layout, name string, signal syscall.Signal) error {
	pid, alive := PID(l, name)
	if alive {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("cannot stop %s: %w", name, err)
		}
		if err := waitGone([]int{pid}, stopLimit); err != nil {
			return fmt.Errorf("cannot stop %s: %w", name, err)
		}
	}
	return os.RemoveAll(l.PIDFile(name))
}

// KillAll kills the processes and waits until they are gone.
func KillAll(pids []int) error {
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("cannot kill process %d: %w", pid, err)
		}
	}
	return waitGone(pids, 10*time.Second)
}

func waitGone(pids []int, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for _, pid := range pids {
		for Alive(pid) {
			if time.Now().After(deadline) {
				return fmt.Errorf("process %d is still there after %s", pid, limit)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

// Process is one line of the machine's process table.
type Process struct {
	PID   int
	Name  string
	Netns string
	// Marker is the state folder of the ground it belongs to, if any.
	Marker string
}

// Processes lists what runs on the machine, without those that have ended.
func Processes() ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var processes []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || !Alive(pid) {
			continue
		}
		folder := "/proc/" + entry.Name()
		name, _ := os.ReadFile(folder + "/comm")
		netns, _ := os.Readlink(folder + "/ns/net")
		processes = append(processes, Process{
			PID:    pid,
			Name:   strings.TrimSpace(string(name)),
			Netns:  netns,
			Marker: markerOf(folder + "/environ"),
		})
	}
	return processes, nil
}

func markerOf(path string) string {
	environment, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for _, variable := range strings.Split(string(environment), "\x00") {
		if value, found := strings.CutPrefix(variable, layout.Marker+"="); found {
			return value
		}
	}
	return ""
}

// Parent returns the parent of a process, or 0.
func Parent(pid int) int {
	_, fields := statFields(pid)
	if fields == nil {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}
