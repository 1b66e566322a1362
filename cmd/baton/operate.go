package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/admin"
	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// socketFlags find a running proxy.
type socketFlags struct {
	Socket  string        `placeholder:"PATH" help:"The proxy's admin socket. Without this and --config it is $$BATON_SOCKET, or else /run/baton/admin.sock."`
	Config  string        `short:"c" placeholder:"FILE" help:"The proxy's configuration file, which names the socket."`
	Timeout time.Duration `default:"2m" placeholder:"D" help:"How long to wait for the answer (${default})."`
}

// Validate is called by kong.
func (f *socketFlags) Validate() error {
	switch {
	case f.Socket != "" && f.Config != "":
		return errors.New("--socket and --config both say where the proxy is: give one of them")
	case f.Timeout <= 0:
		return fmt.Errorf("--timeout=%s: give a duration above zero, such as 2m", f.Timeout)
	}
	return nil
}

func (f *socketFlags) client(ctx context.Context) (*admin.Client, context.Context, context.CancelFunc, error) {
	path := cmp.Or(f.Socket, os.Getenv("BATON_SOCKET"), "/run/baton/admin.sock")
	if f.Config != "" {
		c, err := config.Load(f.Config)
		if err != nil {
			return nil, nil, nil, err
		}
		if c.Admin.Socket == "" {
			return nil, nil, nil, fmt.Errorf("%s has no admin.socket: add one and start the proxy anew", f.Config)
		}
		path = c.Admin.Socket
	}
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	return admin.NewClient(path), ctx, cancel, nil
}

// statusCmd prints how a proxy is doing.
type statusCmd struct {
	socketFlags
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *statusCmd) Run(ctx context.Context, s streams) error {
	client, ctx, cancel, err := c.client(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		return e.Encode(status)
	}
	return status.Text(s.out)
}

// upgradeCmd has a proxy replace itself.
type upgradeCmd struct{ socketFlags }

func (c *upgradeCmd) Run(ctx context.Context, s streams) error {
	client, ctx, cancel, err := c.client(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	begin := time.Now()
	err = client.Upgrade(ctx, func(line string) {
		fmt.Fprintf(s.out, "%6.3fs  %s\n", time.Since(begin).Seconds(), line)
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "upgraded in %.3fs\n", time.Since(begin).Seconds())
	return err
}

// reloadCmd has a proxy read its configuration anew.
type reloadCmd struct{ socketFlags }

func (c *reloadCmd) Run(ctx context.Context, s streams) error {
	client, ctx, cancel, err := c.client(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	result, err := client.Reload(ctx)
	if err != nil {
		return err
	}
	if len(result.Changes) == 0 {
		fmt.Fprintln(s.out, "reloaded: nothing has changed")
	}
	for _, line := range result.Changes {
		fmt.Fprintln(s.out, line)
	}
	return nil
}

// maintenanceCmd switches maintenance mode.
type maintenanceCmd struct {
	socketFlags
	Mode string `arg:"" enum:"on,off,status" default:"status" help:"on, off, or status (${default})."`
}

func (c *maintenanceCmd) Run(ctx context.Context, s streams) error {
	client, ctx, cancel, err := c.client(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	if c.Mode != "status" {
		if err := client.SetMaintenance(ctx, c.Mode == "on"); err != nil {
			return err
		}
	}
	on, err := client.Maintenance(ctx)
	if err != nil {
		return err
	}
	state := "off"
	if on {
		state = "on"
	}
	_, err = fmt.Fprintf(s.out, "maintenance mode is %s\n", state)
	return err
}
