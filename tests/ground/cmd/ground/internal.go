package main

import (
	"encoding/json"
	"strconv"
	"time"

	"mariadb-backup/ground/internal/cluster"
	"mariadb-backup/ground/internal/ground"
	"mariadb-backup/ground/internal/images"
	"mariadb-backup/ground/internal/layout"
)

// internalCommands are what the ground runs itself as. Nobody types them, so
// their arguments are positional and only counted.
var internalCommands = map[string]func(l layout.Layout, arguments []string) error{
	"internal-forward": func(_ layout.Layout, arguments []string) error { return cluster.Forward(arguments[0]) },
	"internal-golden": func(_ layout.Layout, arguments []string) error {
		return images.FillGolden(arguments[0], arguments[1:])
	},
	"internal-node": func(l layout.Layout, arguments []string) error {
		n, err := strconv.Atoi(arguments[0])
		if err != nil {
			return err
		}
		return cluster.NodeInit(l, n, arguments[1])
	},
	"internal-ledger": func(l layout.Layout, arguments []string) error {
		g, err := ground.Open(l)
		if err != nil {
			return err
		}
		rate, err := strconv.ParseFloat(arguments[2], 64)
		if err != nil {
			return err
		}
		return g.WriteLedger(arguments[0], arguments[1], rate)
	},
	"internal-throttle": func(_ layout.Layout, arguments []string) error {
		bytesPerSecond, err := strconv.ParseInt(arguments[1], 10, 64)
		if err != nil {
			return err
		}
		return ground.ThrottleForever(arguments[0], bytesPerSecond)
	},
	"internal-undo-after": func(l layout.Layout, arguments []string) error {
		outage, err := time.ParseDuration(arguments[0])
		if err != nil {
			return err
		}
		g, err := ground.Open(l)
		if err != nil {
			return err
		}
		return g.UndoAfter(outage, arguments[1])
	},
	"internal-failing-s3": func(_ layout.Layout, arguments []string) error {
		var front ground.S3Front
		if err := json.Unmarshal([]byte(arguments[0]), &front); err != nil {
			return err
		}
		return ground.ServeFailingS3(front)
	},
}
