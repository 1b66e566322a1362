package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/demo"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// demoCmd serves something to upgrade.
type demoCmd struct {
	PidFile string `default:"baton-demo.pid" placeholder:"FILE" help:"File that names the process in charge (${default})."`
	HTTP    string `name:"http" default:"127.0.0.1:8080" placeholder:"ADDR" help:"Address for HTTP (${default})."`
	HTTPS   string `name:"https" default:"127.0.0.1:8443" placeholder:"ADDR" help:"Address for HTTPS, self-signed (${default})."`
	TCP     string `name:"tcp" default:"127.0.0.1:9000" placeholder:"ADDR" help:"Address for the TCP echo (${default})."`

	ReadyTimeout time.Duration `default:"60s" placeholder:"D" help:"How long a new generation may take to be ready (${default})."`
	Probation    time.Duration `default:"1s" placeholder:"D" help:"How long it serves before it is in charge; 0s switches it off (${default})."`
	DrainTimeout time.Duration `default:"30s" placeholder:"D" help:"How long a replaced or stopped process finishes what it serves (${default})."`
	Verbose      bool          `short:"v" help:"Log every phase."`
}

// Validate is called by kong, which puts the error on one line.
func (d *demoCmd) Validate() error {
	if filepath.Base(d.PidFile) == "." || d.PidFile == "" {
		return errors.New("--pid-file: give the path of a file")
	}
	for _, a := range []struct{ flag, address string }{{"http", d.HTTP}, {"https", d.HTTPS}, {"tcp", d.TCP}} {
		if _, err := net.ResolveTCPAddr("tcp", a.address); err != nil || a.address == "" {
			return fmt.Errorf("--%s=%q: give HOST:PORT, such as 127.0.0.1:8080 or :0", a.flag, a.address)
		}
	}
	if d.ReadyTimeout <= 0 || d.DrainTimeout <= 0 {
		return errors.New("--ready-timeout and --drain-timeout: give a duration above zero, such as 30s")
	}
	if d.Probation < 0 {
		return errors.New("--probation: give a duration, such as 1s, or 0s to switch it off")
	}
	return nil
}

func (d *demoCmd) Run(ctx context.Context, s streams) error {
	options := upgrader.Options{
		PIDFile: d.PidFile, UpgradeTimeout: d.ReadyTimeout, Probation: d.Probation, DrainTimeout: d.DrainTimeout,
		Logger: slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: d.level()})),
	}
	if d.Probation == 0 {
		options.Probation = upgrader.NoProbation
	}
	return demo.Run(ctx, demo.Config{HTTP: d.HTTP, HTTPS: d.HTTPS, TCP: d.TCP, Upgrader: options, Ready: s.out})
}

func (d *demoCmd) level() slog.Level {
	if d.Verbose {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
