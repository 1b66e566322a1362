package stream

import (
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/seed-e3b9a99f/baton/internal/relay"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
)

func TestClasses(t *testing.T) {
	for err, want := range map[error]Class{
		&relay.SideError{Side: "client", Err: syscall.ECONNRESET}: Reset, relay.ErrIdle: Idle, relay.ErrAborted: Cut,
		relay.ErrClosed: Cut, fmt.Errorf("x: %w", net.ErrClosed): Cut,
	} {
		if got := ClassOf(err); got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
	}
	if got := ClassOf(nil); got != "" {
		t.Errorf("no error is %q", got)
	}
	for err, want := range map[error]Class{
		upstream.ErrNoServer: NoServer, upstream.ErrBusy: Busy, syscall.ECONNREFUSED: ConnectRefused,
		syscall.EHOSTUNREACH: ConnectFailed, syscall.ETIMEDOUT: ConnectTimeout,
	} {
		if got := classOfDial(fmt.Errorf("dial: %w", err)); got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
	}
}
