package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy"
	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// configFlags say what to serve: a file, or listeners.
type configFlags struct {
	Config string   `short:"c" placeholder:"FILE" help:"Configuration file (YAML)."`
	Listen []string `placeholder:"PROTO://ADDR=SERVER" sep:"none" help:"In place of a file: a listener and its servers, such as tcp://:5433=127.0.0.1:5432 or http://:8080=127.0.0.1:9000,127.0.0.1:9001. May be repeated."`
}

// Validate is called by kong.
func (f *configFlags) Validate() error {
	if (f.Config == "") == (len(f.Listen) == 0) {
		return errors.New("give either --config FILE, or one --listen or more")
	}
	return nil
}

func (f *configFlags) load() (*config.Config, error) {
	if f.Config != "" {
		return config.Load(f.Config)
	}
	c, err := config.FromFlags(f.Listen)
	if err != nil {
		return nil, usageError{err, "baton proxy"}
	}
	return c, nil
}

// proxyCmd serves.
type proxyCmd struct {
	configFlags
	PidFile string `placeholder:"FILE" help:"With --listen: file that names the process in charge."`
	Socket  string `placeholder:"PATH" help:"With --listen: Unix socket for baton status and the like."`
	Metrics string `placeholder:"ADDR" help:"With --listen: address of Prometheus metrics."`
}

// Validate is called by kong, in place of the one that is embedded.
func (c *proxyCmd) Validate() error {
	if c.Config != "" && c.PidFile+c.Socket+c.Metrics != "" {
		return errors.New("--pid-file, --socket and --metrics go with --listen: with --config, put pid_file, admin.socket and admin.metrics into the file")
	}
	return c.configFlags.Validate()
}

func (c *proxyCmd) Run(ctx context.Context, s streams) error {
	defer runtime.KeepAlive(newBallast())
	o := proxy.Options{File: c.Config, Version: version(), Stderr: s.err, Ready: s.out}
	if c.Config == "" {
		cfg, err := c.load()
		if err != nil {
			return err
		}
		cfg.PIDFile, cfg.Admin.Socket, cfg.Admin.Metrics = c.PidFile, c.Socket, c.Metrics
		o.Config = cfg
	}
	err := proxy.Run(ctx, o)
	if err == nil {
		return nil
	}
	return statusError{err, upgrader.ExitCode(err)}
}

// checkCmd looks for mistakes.
type checkCmd struct {
	configFlags
	Timeout time.Duration `default:"10s" placeholder:"D" help:"How long names may take to resolve (${default})."`
}

// Validate is called by kong, in place of the one that is embedded.
func (c *checkCmd) Validate() error {
	if c.Timeout <= 0 {
		return fmt.Errorf("--timeout=%s: give a duration above zero, such as 10s", c.Timeout)
	}
	return c.configFlags.Validate()
}

func (c *checkCmd) Run(ctx context.Context, s streams) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	cfg, err := c.load()
	if err == nil {
		err = cfg.Check(ctx)
	}
	if usage, ok := errors.AsType[usageError](err); ok {
		err = usage.error // to find mistakes is what it is for
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "good: %s\n", counted(cfg))
	return err
}

func counted(c *config.Config) string {
	return plural(len(c.Listeners), "listener") + ", " + plural(len(c.Upstreams), "upstream")
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// version is what the binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && v == "(devel)" {
			v = s.Value[:12]
		}
	}
	return v
}
