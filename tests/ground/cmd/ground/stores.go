package main

import (
	"fmt"

	"mariadb-backup/ground/internal/ground"
	"mariadb-backup/ground/internal/layout"
	"mariadb-backup/ground/internal/workload"
)

func volumePath(l layout.Layout, arguments []string) error {
	flags := newFlags("volume-path")
	namespace := flags.String("namespace", workload.DefaultNamespace, "namespace of the claim")
	words, err := parse(flags, arguments, 1, 1)
	if err != nil {
		return err
	}
	g, err := ground.Open(l)
	if err != nil {
		return err
	}
	volume, err := g.ResolveVolume(*namespace, words[0])
	if err != nil {
		return err
	}
	fmt.Println(l.VolumeMount(volume))
	return nil
}

func s3Command(l layout.Layout, arguments []string) error {
	flags := newFlags("s3")
	namespace := flags.String("namespace", workload.DefaultNamespace, "namespace of the S3 server")
	output := flags.String("o", "", "json for programs")
	words, err := parse(flags, arguments, 1, 2)
	if err != nil {
		return err
	}
	g, err := ground.Open(l)
	if err != nil {
		return err
	}
	switch {
	case words[0] == "list" && len(words) == 1:
		return printObjects(g.S3List, *namespace, *output)
	case words[0] == "uploads" && len(words) == 1:
		return printObjects(g.S3Uploads, *namespace, *output)
	case words[0] == "remove" && len(words) == 2:
		return g.S3Remove(*namespace, words[1])
	case words[0] == "damage" && len(words) == 2:
		return g.S3Damage(*namespace, words[1])
	}
	return usage("s3 does list, uploads, remove KEY or damage KEY")
}

func printObjects(list func(string) ([]ground.S3Object, error), namespace, output string) error {
	objects, err := list(namespace)
	if err != nil {
		return err
	}
	if output == "json" {
		return printJSON(objects)
	}
	for _, object := range objects {
		fmt.Printf("%12d  %s\n", object.Size, object.Key)
	}
	return nil
}
