package main

import (
	"flag"
	"fmt"
	"syscall"
	"time"

	"mariadb-backup/ground/internal/ground"
	"mariadb-backup/ground/internal/layout"
	"mariadb-backup/ground/internal/volumes"
	"mariadb-backup/ground/internal/workload"
)

// faultOptions are the flags of all faults together; each uses its own.
type faultOptions struct {
	namespace, signal, process, leave, output string
	outage                                    time.Duration
	seconds                                   float64
	bytesPerSecond                            int64
	front                                     ground.S3Front
	force, all                                bool
}

func (o *faultOptions) flags() *flag.FlagSet {
	flags := newFlags("fault")
	flags.StringVar(&o.namespace, "namespace", workload.DefaultNamespace, "namespace of what is broken")
	flags.StringVar(&o.signal, "signal", "KILL", "kill-container: KILL, TERM, STOP or CONT")
	flags.StringVar(&o.process, "process", "", "kill-container: only processes of this name")
	flags.StringVar(&o.leave, "leave", "", "volume-fill: leave this much free, such as 16Mi")
	flags.StringVar(&o.output, "o", "", "list: json for programs")
	flags.Float64Var(&o.seconds, "for", 0, "api-down: seconds until it comes back by itself")
	flags.Int64Var(&o.bytesPerSecond, "bps", 1<<20, "volume-slow, s3-slow: bytes a second")
	flags.IntVar(&o.front.Status, "status", 503, "s3-fail: the answer")
	flags.StringVar(&o.front.Code, "code", "", "s3-fail: the error's code, by default one that fits the status")
	flags.Float64Var(&o.front.Share, "share", 1, "s3-fail: the part of the requests that fail")
	flags.StringVar(&o.front.Only, "only", "", "s3-fail: only requests that read, write, or send a part")
	flags.Int64Var(&o.front.After, "after", 0, "s3-fail: so many of these pass first")
	flags.BoolVar(&o.force, "force", false, "delete-pod: without waiting for its node")
	flags.BoolVar(&o.all, "all", false, "undo: every fault")
	return flags
}

// faultVerb is one fault, or the undoing of one.
type faultVerb struct {
	least, most int
	run         func(g *ground.Ground, o faultOptions, words []string) error
}

func fault(l layout.Layout, arguments []string) error {
	var options faultOptions
	words, err := parse(options.flags(), arguments, 1, -1)
	if err != nil {
		return err
	}
	verb, known := faultVerbs[words[0]]
	if !known {
		return usage("no fault " + words[0])
	}
	words = words[1:]
	if len(words) < verb.least || (verb.most >= 0 && len(words) > verb.most) {
		return usage("this many words do not fit the fault")
	}
	g, err := ground.Open(l)
	if err != nil {
		return err
	}
	options.outage = time.Duration(options.seconds * float64(time.Second))
	return verb.run(g, options, words)
}

var faultVerbs = map[string]faultVerb{
	"list":           {0, 0, func(g *ground.Ground, o faultOptions, _ []string) error { return listFaults(g, o.output) }},
	"undo":           {0, -1, undoFaults},
	"kill-container": {1, 2, killContainer},
	"delete-pod": {1, 1, func(g *ground.Ground, o faultOptions, w []string) error {
		return g.DeletePod(o.namespace, w[0], o.force)
	}},
	"node-off":        onNode((*ground.Ground).NodeOff),
	"node-on":         undoNode("node-off"),
	"kubelet-stop":    onNode((*ground.Ground).KubeletStop),
	"kubelet-start":   undoNode("kubelet-stop"),
	"partition":       onNode((*ground.Ground).Partition),
	"heal":            undoNode("partition"),
	"api-down":        {0, 0, func(g *ground.Ground, o faultOptions, _ []string) error { return g.APIDown(self(), o.outage) }},
	"api-up":          {0, 0, func(g *ground.Ground, _ faultOptions, _ []string) error { return g.UndoFault("api-down") }},
	"volume-fill":     onVolume(volumeFill),
	"volume-free":     undoVolume("volume-fill"),
	"volume-readonly": onVolume(func(g *ground.Ground, _ faultOptions, volume string) error { return g.VolumeReadonly(volume) }),
	"volume-writable": undoVolume("volume-readonly"),
	"volume-slow": onVolume(func(g *ground.Ground, o faultOptions, volume string) error {
		return g.VolumeSlow(self(), volume, o.bytesPerSecond)
	}),
	"volume-normal": undoVolume("volume-slow"),
	"s3-stop":       {0, 0, func(g *ground.Ground, o faultOptions, _ []string) error { return g.S3Stop(o.namespace) }},
	"s3-start":      {0, 0, func(g *ground.Ground, o faultOptions, _ []string) error { return g.UndoFault("s3-stop:" + o.namespace) }},
	"s3-fail": {0, 0, func(g *ground.Ground, o faultOptions, _ []string) error {
		return g.S3Fail(self(), o.namespace, o.front)
	}},
	"s3-heal": {0, 0, func(g *ground.Ground, o faultOptions, _ []string) error { return g.UndoFault("s3-fail:" + o.namespace) }},
	"s3-slow": {0, 0, func(g *ground.Ground, o faultOptions, _ []string) error {
		return g.S3Slow(self(), o.namespace, o.bytesPerSecond)
	}},
	"s3-normal": {0, 0, func(g *ground.Ground, o faultOptions, _ []string) error { return g.UndoFault("s3-slow:" + o.namespace) }},
}

func onNode(inject func(*ground.Ground, int) error) faultVerb {
	return faultVerb{1, 1, func(g *ground.Ground, _ faultOptions, words []string) error {
		n, err := ground.ParseNode(words[0])
		if err != nil {
			return err
		}
		return inject(g, n)
	}}
}

func undoNode(kind string) faultVerb {
	return onNode(func(g *ground.Ground, n int) error { return g.UndoFault(fmt.Sprintf("%s:%d", kind, n)) })
}

func onVolume(act func(g *ground.Ground, o faultOptions, volume string) error) faultVerb {
	return faultVerb{1, 1, func(g *ground.Ground, o faultOptions, words []string) error {
		volume, err := g.ResolveVolume(o.namespace, words[0])
		if err != nil {
			return err
		}
		return act(g, o, volume)
	}}
}

func undoVolume(kind string) faultVerb {
	return onVolume(func(g *ground.Ground, _ faultOptions, volume string) error { return g.UndoFault(kind + ":" + volume) })
}

func volumeFill(g *ground.Ground, o faultOptions, volume string) error {
	var leave int64
	if o.leave != "" {
		var err error
		if leave, err = volumes.ParseSize(o.leave); err != nil {
			return err
		}
	}
	return g.VolumeFill(volume, leave)
}

var signals = map[string]syscall.Signal{
	"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT,
}

func killContainer(g *ground.Ground, o faultOptions, words []string) error {
	signal, known := signals[o.signal]
	if !known {
		return usage("no signal " + o.signal)
	}
	container := ""
	if len(words) == 2 {
		container = words[1]
	}
	reached, err := g.KillContainer(o.namespace, words[0], container, o.process, signal)
	if err != nil {
		return err
	}
	fmt.Printf("%s sent to %d processes\n", o.signal, reached)
	return nil
}

func undoFaults(g *ground.Ground, o faultOptions, words []string) error {
	if o.all {
		return g.UndoAllFaults()
	}
	if len(words) == 0 {
		return usage("undo needs names, or --all")
	}
	for _, name := range words {
		if err := g.UndoFault(name); err != nil {
			return err
		}
	}
	return nil
}

func listFaults(g *ground.Ground, output string) error {
	faults := g.ActiveFaults()
	if output == "json" {
		return printJSON(faults)
	}
	for _, fault := range faults {
		fmt.Printf("%-32s since %s\n", fault.Name, fault.Since.Format(time.TimeOnly))
	}
	return nil
}
