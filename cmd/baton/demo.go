package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"
	"github.com/seed-e3b9a99f/baton/internal/demo"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// demoCmd serves something to upgrade.
type demoCmd struct {
	PidFile string `default:"baton-demo.pid" placeholder:"FILE" help:"File that names the process in charge (${default})."`
	HTTP    string `name:"http" default:"127.0.0.1:8080" placeholder:"ADDR" help:"Address for HTTP (${default})."`
	HTTPS   string `name:"https" default:"127.0.0.1:8443" placeholder:"ADDR" help:"Address for HTTPS (${default})."`
	TCP     string `name:"tcp" default:"127.0.0.1:9000" placeholder:"ADDR" help:"Address for the TCP echo (${default})."`

	Cert string `placeholder:"FILE" help:"Certificate for HTTPS, with its chain (PEM). It is read anew when it changes. Without one, self-signed."`
	Key  string `placeholder:"FILE" help:"Its key (PEM)."`

	ReadyTimeout time.Duration `default:"60s" placeholder:"D" help:"How long a new generation may take to be ready (${default})."`
	Probation    time.Duration `default:"1s" placeholder:"D" help:"How long it serves before it is in charge; 0s switches it off (${default})."`
	DrainTimeout time.Duration `default:"30s" placeholder:"D" help:"How long a replaced or stopped process finishes what it serves (${default})."`
	Verbose      bool          `short:"v" help:"Log every phase."`
}

// Validate is called by kong, which puts the error on one line.
func (d *demoCmd) Validate() error {
	errs := &multierror.Error{ErrorFormat: oneLine}
	if base := filepath.Base(d.PidFile); base == "." || base == string(filepath.Separator) {
		errs = multierror.Append(errs, fmt.Errorf("--pid-file=%q: give the path of a file", d.PidFile))
	}
	for _, a := range []struct{ flag, address string }{{"http", d.HTTP}, {"https", d.HTTPS}, {"tcp", d.TCP}} {
		if _, err := net.ResolveTCPAddr("tcp", a.address); err != nil || a.address == "" {
			errs = multierror.Append(errs, fmt.Errorf("--%s=%q: give HOST:PORT, such as 127.0.0.1:8080 or :0", a.flag, a.address))
		}
	}
	if (d.Cert == "") != (d.Key == "") {
		errs = multierror.Append(errs, errors.New("--cert and --key: give both, or none of them"))
	}
	for _, t := range []struct {
		flag string
		d    time.Duration
	}{{"ready-timeout", d.ReadyTimeout}, {"drain-timeout", d.DrainTimeout}} {
		if t.d <= 0 {
			errs = multierror.Append(errs, fmt.Errorf("--%s=%s: give a duration above zero, such as 30s", t.flag, t.d))
		}
	}
	if d.Probation < 0 {
		errs = multierror.Append(errs, fmt.Errorf("--probation=%s: give a duration such as 1s, or 0s to switch it off", d.Probation))
	}
	return errs.ErrorOrNil()
}

func oneLine(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (d *demoCmd) Run(ctx context.Context, s streams) error {
	options := upgrader.Options{
		PIDFile: d.PidFile, UpgradeTimeout: d.ReadyTimeout, Probation: d.Probation, DrainTimeout: d.DrainTimeout,
		Logger: slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: d.level()})),
	}
	if d.Probation == 0 {
		options.Probation = upgrader.NoProbation
	}
	return demo.Run(ctx, demo.Config{
		HTTP: d.HTTP, HTTPS: d.HTTPS, TCP: d.TCP, Cert: d.Cert, Key: d.Key, Upgrader: options, Ready: s.out,
	})
}

func (d *demoCmd) level() slog.Level {
	if d.Verbose {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
