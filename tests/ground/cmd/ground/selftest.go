package main

import (
	"mariadb-backup/ground/internal/build"
	"mariadb-backup/ground/internal/layout"
	"mariadb-backup/ground/internal/selftest"
)

func selftestCommand(l layout.Layout, arguments []string) error {
	options := selftest.Options{Self: self()}
	flags := newFlags("selftest")
	flags.Float64Var(&options.Slack, "slack", 1.5, "factor on the time limits, for a busy machine")
	flags.BoolVar(&options.LeaveUp, "leave-up", false, "bring the ground up once more at the end")
	flags.StringVar(&options.Wanted.Series, "series", build.DefaultSeries, "MariaDB series")
	if _, err := parse(flags, arguments, 0, 0); err != nil {
		return err
	}
	options.Wanted.Replicas, options.Wanted.Policy = 3, "Parallel"
	// Built before the clock runs: the promise is about a built ground.
	if err := buildAll(l, []string{"--series", options.Wanted.Series}); err != nil {
		return err
	}
	return selftest.Run(l, options)
}
