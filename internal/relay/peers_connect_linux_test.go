package relay

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader"
)

func init() { helpers["peersConnect"] = runPeersConnect }

// runPeersConnect relays as the proxy does where it need not look at a connection: AcceptSocket, Connect.
func runPeersConnect() error {
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	e, err := New(Options{})
	if err != nil {
		return err
	}
	u, err := upgrader.New(upgrader.Options{
		Logger: slog.New(slog.DiscardHandler), ListenConfig: &net.ListenConfig{KeepAlive: -1}, // see listenBoth
	})
	if err != nil {
		return err
	}
	for _, to := range []string{"RELAY_TEST_ECHO", "RELAY_TEST_SINK"} {
		ln, err := u.ListenNamed(to, "tcp", "127.0.0.1:0", upgrader.TCP)
		if err != nil {
			return err
		}
		fmt.Println(ln.Addr())
		go acceptSockets(ln, e, Target{Addr: netip.MustParseAddrPort(os.Getenv(to)), Timeout: 5 * time.Second})
	}
	if err := u.Ready(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func acceptSockets(ln *upgrader.NamedListener, e *Engine, to Target) {
	failed := func(client int, err error) {
		fmt.Fprintln(os.Stderr, err)
		Reset(client)
	}
	to.OnFail = failed
	cfg := Config{IdleTimeout: time.Minute, OnEnd: func(Result) {}} // as a proxy has
	for {
		s, err := ln.AcceptSocket()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		var client int
		if err == nil {
			client, err = s.Take()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		if _, err := e.Connect(client, to, cfg); err != nil {
			failed(client, err)
		}
	}
}
