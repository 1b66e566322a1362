// Command baton upgrades servers without their clients noticing, and measures what clients lose when they are.
//
//	baton proxy         stand in front of servers that know nothing of upgrades
//	baton check         look for mistakes in a proxy's configuration
//	baton status        show how a running proxy is doing; baton upgrade, reload and maintenance tell it what to do
//	baton demo          serve HTTP, HTTPS and a TCP echo that upgrade on SIGHUP
//	baton bench         drive a server with clients that never retry while it is upgraded, and count what they lose
//	baton ticket-keys   put a new key into a file of TLS session ticket keys that a fleet shares
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/seed-e3b9a99f/baton/bench"
	"github.com/seed-e3b9a99f/baton/bench/against"
	"github.com/seed-e3b9a99f/baton/proxy/config"
)

func main() {
	against.Reexec()
	os.Exit(exitCode(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
}

// cli is the whole command line; each command's fields stand in its own file.
type cli struct {
	Proxy       proxyCmd       `cmd:"" help:"Stand in front of servers that know nothing of upgrades."`
	Check       checkCmd       `cmd:"" help:"Look for mistakes in a proxy's configuration."`
	Status      statusCmd      `cmd:"" help:"Show how a running proxy is doing."`
	Upgrade     upgradeCmd     `cmd:"" help:"Have a running proxy replace itself by the program on disk, and wait."`
	Reload      reloadCmd      `cmd:"" help:"Have a running proxy read its configuration file anew."`
	Maintenance maintenanceCmd `cmd:"" help:"Switch a running proxy's maintenance mode."`
	Demo        demoCmd        `cmd:"" help:"Serve HTTP, HTTPS and a TCP echo that upgrade on SIGHUP."`
	Bench       benchCmds      `cmd:"" help:"Count what clients lose while a server is upgraded again and again."`
	TicketKeys  ticketKeysCmd  `cmd:"" help:"Put a new key into a file of TLS session ticket keys that a fleet shares."`
	BenchFault  benchFaultCmd  `cmd:"" hidden:""`
}

// streams are where a command writes: results to out, everything else to err.
type streams struct {
	out, err io.Writer
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("baton"),
		kong.Description("Zero-downtime upgrades for TCP, TLS and HTTP servers."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.UsageOnError(),
		kong.Vars{"quantities": strings.Join(bench.Quantities(), ", ")},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(streams{out: stdout, err: stderr}),
	)
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // --help printed what was asked for
		return nil
	}
	if err != nil {
		return usageError{err, helpFor(err)}
	}
	return command.Run()
}

// helpFor is the command line whose --help has what a mistake is about.
func helpFor(err error) string {
	parse, ok := errors.AsType[*kong.ParseError](err)
	if !ok {
		return "baton"
	}
	node := parse.Context.Model.Node
	for _, p := range parse.Context.Path {
		if p.Command != nil {
			node = p.Command
		}
	}
	if node.DefaultCmd != nil { // of baton bench, which has no flags itself
		node = node.DefaultCmd
	}
	return node.FullPath()
}

// usageError is a command line that cannot be carried out: one line, exit status 2. Command is whose --help it names.
type usageError struct {
	error
	command string
}

func (e usageError) Unwrap() error { return e.error }

// statusError ends the program with a status of its own.
type statusError struct {
	error
	status int
}

func (e statusError) Unwrap() error { return e.error }

// silentError ends the program with its status and no further line, because the command has already said why.
type silentError struct{ status int }

func (e silentError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

func exitCode(err error, stderr io.Writer) int {
	var usage usageError
	var silent silentError
	var status statusError
	mistakes := config.Mistakes(err)
	for _, m := range mistakes { // each names its place
		fmt.Fprintln(stderr, m)
	}
	switch {
	case err == nil:
		return 0
	case errors.As(err, &silent):
		return silent.status
	case len(mistakes) > 0 && errors.As(err, &usage):
		return 2
	case len(mistakes) > 0:
		return 1
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "baton: %v (see %s --help)\n", err, usage.command)
		return 2
	case errors.As(err, &status):
		fmt.Fprintf(stderr, "baton: %v\n", err)
		return status.status
	default:
		fmt.Fprintf(stderr, "baton: %v\n", err)
		return 1
	}
}
