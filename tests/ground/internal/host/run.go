// Package host is everything the ground does to the machine itself: programs,
// processes, network namespaces, mounts, loop devices, cgroups.
//
// It knows nothing of Kubernetes or Galera.
package host

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Run runs a program to its end and returns what it printed. An error carries
// the program's own words.
func Run(name string, arguments ...string) (string, error) {
	return RunInput("", name, arguments...)
}

// RunInput is Run with something on the program's stdin.
func RunInput(input, name string, arguments ...string) (string, error) {
	command := exec.Command(name, arguments...)
	var stdout, stderr bytes.Buffer
	command.Stdin = strings.NewReader(input)
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", name, shorten(arguments), err, lastLines(stderr.String()+stdout.String()))
	}
	return stdout.String(), nil
}

func shorten(arguments []string) string {
	text := strings.Join(arguments, " ")
	if len(text) > 160 {
		return text[:160] + "…"
	}
	return text
}

// lastLines keeps what a person needs of a long output: its end.
func lastLines(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > 1500 {
		return "…" + text[len(text)-1500:]
	}
	return text
}

// Inherit runs a program on this program's own terminal.
func Inherit(name string, arguments ...string) error {
	command := exec.Command(name, arguments...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	return command.Run()
}

// Parallel runs all functions at once and returns the first error.
func Parallel(functions ...func() error) error {
	results := make(chan error, len(functions))
	for _, function := range functions {
		go func() { results <- function() }()
	}
	var first error
	for range functions {
		if err := <-results; err != nil && first == nil {
			first = err
		}
	}
	return first
}
