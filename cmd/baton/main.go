// Command baton upgrades servers without their clients noticing, and measures what clients lose when they are.
//
//	baton demo    serve HTTP, HTTPS and a TCP echo that upgrade on SIGHUP
//	baton bench   drive a server with clients that never retry while it is upgraded, and count what they lose
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

func main() {
	os.Exit(exitCode(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
}

// cli is the whole command line; each command's fields stand in its own file.
type cli struct {
	Demo  demoCmd  `cmd:"" help:"Serve HTTP, HTTPS and a TCP echo that upgrade on SIGHUP."`
	Bench benchCmd `cmd:"" help:"Count what clients lose while a server is upgraded again and again."`
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
		return usageError{err}
	}
	return command.Run()
}

// usageError is a command line that cannot be carried out: one line, exit status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// silentError ends the program with its status and no further line, because the command has already said why.
type silentError struct{ status int }

func (e silentError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

func exitCode(err error, stderr io.Writer) int {
	var usage usageError
	var silent silentError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &silent):
		return silent.status
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "baton: %v (see baton --help)\n", err)
		return 2
	default:
		fmt.Fprintf(stderr, "baton: %v\n", err)
		return 1
	}
}
