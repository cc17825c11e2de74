// Package selftest shows on the real thing that the ground keeps its promises:
// it comes up in time, comes up again over ruins, breaks and mends as told, and
// leaves nothing behind. It takes the ground it finds down.
package selftest

import (
	"fmt"
	"time"

	"mariadb-backup/ground/internal/ground"
	"mariadb-backup/ground/internal/layout"
	"mariadb-backup/ground/internal/story"
)

// Options say how strict to be.
type Options struct {
	Wanted ground.Wanted
	// Slack multiplies the time limits, for a machine busy with other things.
	Slack float64
	// Self is the program that started this, for restarting it.
	Self string
	// LeaveUp brings the ground up once more at the end.
	LeaveUp bool
}

type test struct {
	Options
	layout.Layout
	// ground is the running one, from the first start on.
	ground *ground.Ground
}

type check struct {
	promise string
	// limit is how long it may take; zero is as long as it takes.
	limit time.Duration
	run   func(*test) error
}

var checks = []check{
	// No limit: how long it takes depends on how much was in the one found here.
	{"down leaves nothing", 0, (*test).down},
	{"up brings everything up, built already", 30 * time.Second, (*test).up},
	{"up again does nothing", 2 * time.Second, (*test).upAgain},
	{"a new agent comes into the running nodes", 5 * time.Second, (*test).agent},
	{"20 MB of data are loaded", 10 * time.Second, (*test).load},
	{"the ledger is written", 10 * time.Second, (*test).startLedger},
	{"a killed container comes back", 0, (*test).killContainer},
	{"a node loses its power and gets it back", 0, (*test).nodeOff},
	{"a node is cut off and healed", 0, (*test).partition},
	{"a kubelet hangs and goes on", 0, (*test).kubeletHangs},
	{"the API server goes away and comes back by itself", 0, (*test).apiDown},
	{"a volume is full and free again", 0, (*test).volumeFill},
	{"a volume is read-only and writable again", 0, (*test).volumeReadonly},
	{"a volume is slow and fast again", 0, (*test).volumeSlow},
	{"the S3 server fails and is healed", 0, (*test).s3Fails},
	{"the S3 server is slow and fast again", 0, (*test).s3Slow},
	{"the S3 server stops and starts", 0, (*test).s3Stops},
	{"all replicas are killed at once and come back", 0, (*test).killAll},
	{"no acknowledged commit was lost, none is torn", 0, (*test).checkLedger},
	{"another Galera comes and goes", 0, (*test).anotherGalera},
	{"a Galera like Bitnami's comes and goes", 0, (*test).bitnami},
	{"a Galera like openstack-helm's chooses who starts it again", 0, (*test).mosk},
	{"up cleans the ruins of a killed ground and starts anew", 35 * time.Second, (*test).upOverRuins},
	{"down over ruins leaves nothing", 2 * time.Second, (*test).downOverRuins},
}

// Run runs all checks in order and tells each. It stops at the first failure:
// what follows stands on what went before.
func Run(l layout.Layout, options Options) error {
	t := &test{Options: options, Layout: l}
	passed := 0
	for _, check := range checks {
		began := time.Now()
		err := check.run(t)
		took := time.Since(began)
		limit := time.Duration(float64(check.limit) * options.Slack)
		if err == nil && limit > 0 && took > limit {
			err = fmt.Errorf("took longer than %s", limit)
		}
		if err != nil {
			fmt.Printf("FAIL  %-56s %6.1f s  %v\n", check.promise, took.Seconds(), err)
			fmt.Printf("%d passed, 1 failed\n", passed)
			return fmt.Errorf("%s: %w", check.promise, err)
		}
		fmt.Printf("ok    %-56s %6.1f s\n", check.promise, took.Seconds())
		passed++
	}
	fmt.Printf("%d passed, 0 failed\n", passed)
	if options.LeaveUp {
		return ground.Up(l, options.Wanted)
	}
	return nil
}

// until waits for an effect that a check is about.
func until(limit time.Duration, what string, so func() bool) error {
	for deadline := time.Now().Add(limit); !so(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("after %s it is not so that %s", limit, what)
		}
	}
	story.Say("  %s", what)
	return nil
}
