package main

import (
	"fmt"
	"os"
	"strconv"

	"mariadb-backup/ground/internal/build"
	"mariadb-backup/ground/internal/cluster"
	"mariadb-backup/ground/internal/ground"
	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/images"
	"mariadb-backup/ground/internal/layout"
	"mariadb-backup/ground/internal/ledger"
	"mariadb-backup/ground/internal/volumes"
	"mariadb-backup/ground/internal/workload"
)

func agent(l layout.Layout, arguments []string) error {
	flags := newFlags("agent")
	binary := flags.String("binary", "", "the agent's binary")
	plugin := flags.String("plugin", "", "the plugin's binary, put into the folder for PATH")
	show := flags.Bool("print", false, "only print the current image")
	if _, err := parse(flags, arguments, 0, 0); err != nil {
		return err
	}
	if *show {
		current, err := ground.ReadAgent(l)
		if err != nil {
			return fmt.Errorf("no agent was built yet: %w", err)
		}
		fmt.Println(current.Reference)
		return nil
	}
	if *binary == "" {
		return usage("agent needs --binary or --print")
	}
	release, err := ground.Lock(l)
	if err != nil {
		return err
	}
	defer release()
	made, err := ground.MakeAgent(l, *binary, *plugin)
	if err != nil {
		return err
	}
	fmt.Println(made.Reference)
	return nil
}

func image(l layout.Layout, arguments []string) error {
	flags := newFlags("image")
	binary := flags.String("binary", "", "the agent's binary")
	reference := flags.String("reference", "", "the image's name with its tag")
	output := flags.String("output", "", "the archive to write")
	if _, err := parse(flags, arguments, 0, 0); err != nil {
		return err
	}
	if *binary == "" || *reference == "" || *output == "" {
		return usage("image needs --binary, --reference and --output")
	}
	rootfs, err := build.Rootfs(l, build.DefaultSeries)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(*binary)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "agent-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	return images.WriteAgent(*output, scratch, rootfs, *reference, content)
}

func load(l layout.Layout, arguments []string) error {
	flags := newFlags("load")
	megabytes := flags.Int("mb", 100, "megabytes to add")
	namespace := flags.String("namespace", workload.DefaultNamespace, "namespace of the Galera")
	statefulSet := flags.String("statefulset", workload.DefaultStatefulSet, "name of the Galera")
	if _, err := parse(flags, arguments, 0, 0); err != nil {
		return err
	}
	g, err := ground.Open(l)
	if err != nil {
		return err
	}
	return g.Load(*namespace, *statefulSet, *megabytes)
}

func ledgerCommand(l layout.Layout, arguments []string) error {
	flags := newFlags("ledger")
	namespace := flags.String("namespace", workload.DefaultNamespace, "namespace of the Galera")
	file := flags.String("file", "", "where acknowledged commits are written")
	rate := flags.Float64("rate", 50, "transactions a second at most")
	output := flags.String("o", "", "json for programs")
	words, err := parse(flags, arguments, 1, 1)
	if err != nil {
		return err
	}
	g, err := ground.Open(l)
	if err != nil {
		return err
	}
	if *file == "" {
		*file = g.LedgerFile(*namespace)
	}
	switch words[0] {
	case "start":
		return g.LedgerStart(self(), *namespace, *file, *rate)
	case "stop":
		return g.LedgerStop(*namespace)
	case "status":
		return printLedger(g.LedgerRunning(*namespace), *file, *output)
	case "read":
		return readLedger(*file, *output)
	}
	return usage("ledger does start, stop, status or read, not " + words[0])
}

func printLedger(running bool, file, output string) error {
	commits, err := ledger.Read(file)
	if err != nil {
		return err
	}
	status := struct {
		Running bool   `json:"running"`
		Commits int    `json:"commits"`
		Last    int64  `json:"last"`
		File    string `json:"file"`
	}{Running: running, Commits: len(commits), File: file}
	if len(commits) > 0 {
		status.Last = commits[len(commits)-1].N
	}
	if output == "json" {
		return printJSON(status)
	}
	fmt.Printf("running: %v\ncommits: %d\nlast: %d\nfile: %s\n", status.Running, status.Commits, status.Last, status.File)
	return nil
}

func readLedger(file, output string) error {
	commits, err := ledger.Read(file)
	if err != nil {
		return err
	}
	if output == "json" {
		return printJSON(commits)
	}
	for _, commit := range commits {
		fmt.Print(commit.Line())
	}
	return nil
}

func sqlCommand(l layout.Layout, arguments []string) error {
	flags := newFlags("sql")
	namespace := flags.String("namespace", workload.DefaultNamespace, "namespace of the Galera")
	words, err := parse(flags, arguments, 2, 2)
	if err != nil {
		return err
	}
	pod := words[0]
	if _, err := strconv.Atoi(pod); err == nil {
		pod = workload.DefaultStatefulSet + "-" + pod
	}
	if _, err := ground.Open(l); err != nil {
		return err
	}
	return host.Inherit(l.Bin()+"/kubectl", "--kubeconfig", l.Kubeconfig(), "--namespace", *namespace,
		"exec", pod, "--", "mariadb", "--defaults-file="+workload.ClientConfig, "-B", "-e", words[1])
}

func nodeExec(l layout.Layout, arguments []string) error {
	if len(arguments) < 2 {
		return usage("node-exec needs a node and a program")
	}
	n, err := ground.ParseNode(arguments[0])
	if err != nil {
		return err
	}
	enter, err := cluster.InNode(l, n)
	if err != nil {
		return err
	}
	return host.Inherit("nsenter", append(enter, arguments[1:]...)...)
}

func galera(l layout.Layout, arguments []string) error {
	wanted := workload.Galera{SST: "rsync"}
	flags := newFlags("galera")
	flags.StringVar(&wanted.Namespace, "namespace", "", "its namespace")
	flags.StringVar(&wanted.StatefulSet, "statefulset", workload.DefaultStatefulSet, "its name")
	flags.IntVar(&wanted.Replicas, "replicas", 3, "how many")
	flavour := flags.String("flavour", workload.Plain, "whose way of running Galera: "+workload.FlavourNames())
	flags.StringVar(&wanted.Policy, "policy", "", "Parallel or OrderedReady; the flavour's own by default")
	flags.StringVar(&wanted.Series, "series", build.DefaultSeries, "MariaDB series")
	flags.BoolVar(&wanted.WithoutTool, "without-tool", false, "use the server image that has no mariadb-backup")
	flags.StringVar(&wanted.SST, "sst", "rsync", "state transfer: rsync or mariabackup")
	dataSize := flags.String("data-size", "2Gi", "size of each data volume")
	backupSize := flags.String("backup-size", "2Gi", "size of the backup volumes")
	words, err := parse(flags, arguments, 1, 1)
	if err != nil {
		return err
	}
	g, err := ground.Open(l)
	if err != nil {
		return err
	}
	switch words[0] {
	case "create":
		if wanted.Flavour, err = workload.FindFlavour(*flavour); err != nil {
			return err
		}
		if wanted.Policy == "" {
			wanted.Policy = wanted.Policies[0]
		}
		if wanted.DataBytes, err = volumes.ParseSize(*dataSize); err != nil {
			return err
		}
		if wanted.BackupBytes, err = volumes.ParseSize(*backupSize); err != nil {
			return err
		}
		return g.CreateGalera(wanted)
	case "delete":
		return g.DeleteGalera(wanted.Namespace)
	}
	return usage("galera does create or delete, not " + words[0])
}

func usage(text string) error {
	fmt.Fprintln(os.Stderr, "ground: "+text+"; see ground help")
	return errUsage
}

// self is this program, for the processes the ground leaves running.
func self() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}
