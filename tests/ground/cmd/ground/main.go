// Ground brings up a real Kubernetes with a real Galera and a real S3 on one
// machine, breaks it on request, and takes it down without a trace.
//
// What a program or shell reads goes to stdout, the story to stderr.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"mariadb-backup/ground/internal/layout"
)

// command is one verb of the program.
type command struct {
	usage string
	help  string
	run   func(l layout.Layout, arguments []string) error
}

// errUsage is a mistake in the command line; its text was printed.
var errUsage = errors.New("usage")

func main() {
	l := layout.FromEnvironment()
	if len(os.Args) < 2 || strings.Trim(os.Args[1], "-h") == "" || os.Args[1] == "help" || os.Args[1] == "--help" {
		printHelp()
		return
	}
	verb, arguments := os.Args[1], os.Args[2:]
	if internal, known := internalCommands[verb]; known {
		finish(verb, internal(l, arguments))
	}
	for _, command := range commands() {
		if name, _, _ := strings.Cut(command.usage, " "); name == verb {
			finish(verb, command.run(l, arguments))
		}
	}
	fmt.Fprintf(os.Stderr, "ground: no command %q; see ground help\n", verb)
	os.Exit(2)
}

func finish(verb string, err error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		os.Exit(0)
	case errors.Is(err, errUsage):
		os.Exit(2)
	case errors.As(err, &exit) && passesExitCode[verb]:
		os.Exit(exit.ExitCode())
	}
	fmt.Fprintf(os.Stderr, "ground %s: %v\n", verb, err)
	os.Exit(1)
}

// passesExitCode marks commands whose exit code is that of what they ran.
var passesExitCode = map[string]bool{"node-exec": true}

func printHelp() {
	fmt.Println("A real Kubernetes with a real Galera and a real S3 on this machine")
	fmt.Println()
	for _, command := range commands() {
		fmt.Printf("  ground %s\n      %s\n", command.usage, command.help)
	}
}
