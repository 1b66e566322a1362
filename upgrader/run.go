package upgrader

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// Run runs a whole service: signals, pidfile, readiness, upgrades, drain.
//
// Setup opens listeners and starts what serves them, with ListenNamed, Serve and Go; it must not block. Then the
// service is ready. Run returns when this process has been replaced or stopped and everything under way is finished,
// or DrainTimeout has passed; ctx's end stops it like TERM. The error is nil then. It is setup's or Ready's error, that
// of the first function of Go that failed, or ErrForced after a second TERM. The program should exit with [ExitCode]
// of it.
func Run(ctx context.Context, opts Options, setup func(*Upgrader) error) error {
	u, err := New(opts)
	if err != nil {
		return err
	}
	defer u.HandleSignals()()
	if err := setup(u); err != nil {
		if link := u.inherited.link; link != nil {
			link.refuse(err)
		}
		return err
	}
	if err := u.Ready(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, u.Stop)
	defer stop()
	<-u.Done()
	select {
	case <-u.observer.flushed():
	case <-time.After(time.Second):
	}
	switch {
	case u.failure() != nil:
		return u.failure()
	case u.forced:
		return ErrForced
	case u.unsettled != nil && !errors.Is(u.unsettled, ErrStopped):
		return fmt.Errorf("upgrader: %w", u.unsettled)
	default:
		return nil
	}
}

// ExitCode returns the status to exit with after Run: 0 after a graceful end, 1 after an error.
func ExitCode(err error) int {
	if err != nil {
		return 1
	}
	return 0
}

// ListenAndServe is [http.ListenAndServe] for a service that upgrades on HUP and stops gracefully on TERM. It owns the
// process as Run does, with the first of opts, if any.
//
// It returns http.ErrServerClosed when the process should exit because it was replaced or stopped.
func ListenAndServe(addr string, handler http.Handler, opts ...Options) error {
	return listenAndServe(addr, handler, opts, func(u *Upgrader, srv *http.Server, ln net.Listener) error {
		return u.Serve(srv, ln)
	})
}

// ListenAndServeTLS is [http.ListenAndServeTLS] likewise. An upgrade reads the certificate and key files anew.
func ListenAndServeTLS(addr, certFile, keyFile string, handler http.Handler, opts ...Options) error {
	return listenAndServe(addr, handler, opts, func(u *Upgrader, srv *http.Server, ln net.Listener) error {
		return u.ServeTLS(srv, ln, certFile, keyFile)
	})
}

func listenAndServe(addr string, handler http.Handler, opts []Options,
	serve func(*Upgrader, *http.Server, net.Listener) error) error {
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	err := Run(context.Background(), o, func(u *Upgrader) error {
		srv := &http.Server{Addr: addr, Handler: handler}
		if srv.Addr == "" {
			srv.Addr = ":http"
		}
		ln, err := u.ListenNamed("http", "tcp", srv.Addr, HTTP)
		if err != nil {
			return err
		}
		u.Go(func() error { return serve(u, srv, ln) })
		return nil
	})
	if err == nil {
		return http.ErrServerClosed
	}
	return err
}

func isClosed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) || errors.Is(err, os.ErrClosed)
}
