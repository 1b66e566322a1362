//go:build linux || darwin

package tlsreload

import (
	"context"
	"crypto/tls"
	"flag"
	"sync"
	"testing"
	"time"
)

// What is promised is asked for by
//
//	go test ./tlsreload -run Rotation -rotate 30s -handshakes 500 -timeout 20m -v
var (
	rotateFor  = flag.Duration("rotate", 1500*time.Millisecond, "how long each way of rotation is tested")
	handshakes = flag.Int("handshakes", 100, "new TLS connections a second meanwhile")
)

const (
	rotateEvery = 200 * time.Millisecond
	inFlight    = 32               // handshakes at a time: more would only wait for each other
	bounded     = 20 * time.Second // for what has to happen, and does at once on an idle machine
)

// load makes new connections to r until the returned function is called, which tells how they fared.
func load(t *testing.T, r *Reloader, l *ledger, client *tls.Config) (stop func()) {
	t.Helper()
	address := serve(t, r.Config())
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	clients.Go(func() {
		due := time.NewTicker(time.Second / time.Duration(*handshakes))
		defer due.Stop()
		began, sent := time.Now(), 0
		slots := make(chan struct{}, inFlight)
		for {
			select {
			case <-ctx.Done():
				l.mu.Lock()
				l.behind = max(0, int(time.Since(began).Seconds()*float64(*handshakes))-sent)
				l.mu.Unlock()
				return
			case <-due.C:
			}
			select {
			case slots <- struct{}{}:
			default: // the machine is busy: that is no failure of who is tested
				continue
			}
			sent++
			clients.Go(func() {
				defer func() { <-slots }()
				l.count(connect(r, l, address, client))
			})
		}
	})
	return func() {
		t.Helper()
		cancel()
		clients.Wait()
		// One more, so that the last certificate has been asked for.
		l.count(connect(r, l, address, client))
		for i, err := range l.failures {
			if i == 5 {
				break
			}
			t.Errorf("handshake: %v", err)
		}
		t.Log(l)
	}
}

// connect makes one connection, and tells what was wrong with it.
func connect(r *Reloader, l *ledger, address string, client *tls.Config) error {
	floor, err := l.floor(r.Status())
	if err != nil {
		return err
	}
	state, err := dial(address, client)
	if err != nil {
		return err
	}
	return l.judge(state, floor)
}

// await waits until ok, which is soon.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(bounded); !ok(); <-look.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", bounded, what)
		}
	}
}

// eachOf runs f for every name: all at once, which go test's -parallel would not do on a small machine; or, where it is
// run for long, one after the other, so that what is measured is not disturbed.
func eachOf(t *testing.T, names []string, f func(t *testing.T, name string)) {
	var all sync.WaitGroup
	defer all.Wait()
	for _, name := range names {
		if *rotateFor > 5*time.Second {
			t.Run(name, func(t *testing.T) { f(t, name) })
			continue
		}
		all.Go(func() { t.Run(name, func(t *testing.T) { f(t, name) }) })
	}
}
