package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"mariadb-backup/ground/internal/build"
	"mariadb-backup/ground/internal/ground"
	"mariadb-backup/ground/internal/layout"
)

func commands() []command {
	return []command{
		{"up [--series 10.5|10.11|11.8] [--replicas 3] [--policy Parallel]", "Bring everything up; does nothing when it is up. Prints the line to evaluate", up},
		{"down", "Take everything down, running or ruined, without a trace", down},
		{"status [-o json]", "Show how it is doing; exit 1 when not healthy", status},
		{"env", "Print the line to evaluate", env},
		{"build [--series 10.11,…]", "Build what the cache lacks, without starting anything", buildAll},
		{"rootfs [--series 10.11]", "Print the folder of a server image's root file system", rootfs},
		{"s3-program", "Print the path of the S3 server's program", s3Program},
		{"agent --binary PATH [--plugin PATH] | --print", "Build the agent image around a binary and bring it into the nodes; prints the image", agent},
		{"image --binary PATH --reference NAME --output FILE", "Write the agent image around a binary as an OCI archive", image},
		{"load --mb N [--namespace demo] [--statefulset mariadb-server]", "Add N megabytes of made-up data", load},
		{"ledger start|stop|status|read [--namespace demo] [--file F] [--rate 50] [-o json]", "Commit numbered transactions and write down each that was acknowledged", ledgerCommand},
		{"sql POD|ORDINAL 'SQL' [--namespace demo]", "Run SQL as root in a replica", sqlCommand},
		{"node-exec N PROGRAM…", "Run a program in a node", nodeExec},
		{"volume-path CLAIM|VOLUME [--namespace demo]", "Print the folder on this machine where a volume can be looked into", volumePath},
		{"s3 list|uploads|remove KEY|damage KEY [--namespace demo] [-o json]", "Look into the S3 server beside its interface, and ruin an object", s3Command},
		{"galera create|delete --namespace NS [--flavour plain|mosk|bitnami] [--statefulset S] [--replicas 3] [--policy Parallel|OrderedReady] [--series 10.11] [--without-tool] [--sst rsync] [--data-size 2Gi] [--backup-size 2Gi]", "Make another, independent Galera; delete it with its namespace and volumes", galera},
		{"fault list | undo NAME…|--all | KIND …", "Break something, and mend it; see the README for the kinds", fault},
		{"selftest [--slack 1.5] [--leave-up] [--series 10.11]", "Show on the real thing that all of this works; takes down the ground it finds", selftestCommand},
	}
}

// parse reads flags and positional arguments in any order, and checks how many
// positional ones there are; a maximum below zero is none.
func parse(flags *flag.FlagSet, arguments []string, least, most int) ([]string, error) {
	var positional []string
	for {
		if err := flags.Parse(arguments); err != nil {
			return nil, errUsage
		}
		if flags.NArg() == 0 {
			break
		}
		positional = append(positional, flags.Arg(0))
		arguments = flags.Args()[1:]
	}
	if len(positional) < least || (most >= 0 && len(positional) > most) {
		fmt.Fprintf(os.Stderr, "ground %s: %d arguments do not fit; see ground help\n", flags.Name(), len(positional))
		return nil, errUsage
	}
	return positional, nil
}

func newFlags(name string) *flag.FlagSet { return flag.NewFlagSet(name, flag.ContinueOnError) }

func up(l layout.Layout, arguments []string) error {
	flags := newFlags("up")
	wanted := ground.Wanted{}
	flags.StringVar(&wanted.Series, "series", build.DefaultSeries, "MariaDB series")
	flags.IntVar(&wanted.Replicas, "replicas", 3, "replicas of the Galera")
	flags.StringVar(&wanted.Policy, "policy", "Parallel", "podManagementPolicy of the StatefulSet")
	if _, err := parse(flags, arguments, 0, 0); err != nil {
		return err
	}
	if err := build.CheckSeries(wanted.Series); err != nil {
		return err
	}
	if err := ground.Up(l, wanted); err != nil {
		return err
	}
	fmt.Println(ground.ExportLine(l))
	return nil
}

func down(l layout.Layout, arguments []string) error {
	if _, err := parse(newFlags("down"), arguments, 0, 0); err != nil {
		return err
	}
	return ground.Down(l)
}

func status(l layout.Layout, arguments []string) error {
	flags := newFlags("status")
	output := flags.String("o", "", "json for programs")
	if _, err := parse(flags, arguments, 0, 0); err != nil {
		return err
	}
	g, err := ground.Open(l)
	if err != nil {
		return err
	}
	status := g.Status()
	if *output == "json" {
		if err := printJSON(status); err != nil {
			return err
		}
	} else {
		fmt.Printf("%s\nMariaDB: %s\nagent: %s\nfaults: %v\nkubeconfig: %s\n", status.Line(), status.Series, status.Agent, status.Faults, status.Kubeconfig)
	}
	if !status.Healthy() {
		return fmt.Errorf("not healthy")
	}
	return nil
}

func printJSON(value any) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

func env(l layout.Layout, arguments []string) error {
	if _, err := ground.Open(l); err != nil {
		return err
	}
	fmt.Println(ground.ExportLine(l))
	return nil
}

func buildAll(l layout.Layout, arguments []string) error {
	flags := newFlags("build")
	series := flags.String("series", build.DefaultSeries, "MariaDB series, separated by commas")
	if _, err := parse(flags, arguments, 0, 0); err != nil {
		return err
	}
	release, err := ground.Lock(l)
	if err != nil {
		return err
	}
	defer release()
	for _, one := range splitList(*series) {
		if _, err := ground.Make(l, one); err != nil {
			return err
		}
	}
	return nil
}

func rootfs(l layout.Layout, arguments []string) error {
	flags := newFlags("rootfs")
	series := flags.String("series", build.DefaultSeries, "MariaDB series")
	if _, err := parse(flags, arguments, 0, 0); err != nil {
		return err
	}
	release, err := ground.Lock(l)
	if err != nil {
		return err
	}
	defer release()
	folder, err := build.Rootfs(l, *series)
	if err != nil {
		return err
	}
	fmt.Println(folder)
	return nil
}

func s3Program(l layout.Layout, arguments []string) error {
	if _, err := parse(newFlags("s3-program"), arguments, 0, 0); err != nil {
		return err
	}
	release, err := ground.Lock(l)
	if err != nil {
		return err
	}
	defer release()
	program, err := build.Weed(l)
	if err != nil {
		return err
	}
	fmt.Println(program)
	return nil
}
