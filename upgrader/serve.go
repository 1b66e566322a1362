package upgrader

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Serve serves srv on ln until this process is replaced or stopped, and every connection is finished. It takes over
// srv, and closes ln. It returns nil then, or what http.Server.Serve fails with.
//
// When the process is replaced, plain HTTP/1.1 connections of a *NamedListener move to the next generation as soon as
// they wait for a request, also those that have never spoken, and keep their remaining idle time. ConnState tells of
// StateClosed here, and of StateNew there, where the connection has a method Adopted() bool that says so. For all
// others no request is answered by closing: HTTP/1 connections end with "Connection: close" at their next response, or
// after what was pipelined behind it as far as that has been read already, HTTP/2 connections with GOAWAY, hijacked ones
// when they are closed. What is left at Options.DrainTimeout is closed.
// When the service stops, idle connections are closed after a second.
//
// ln may be a *NamedListener, one that is wrapped around it, or any other listener; a deadline must be able to
// interrupt its Accept, as it can those of package net.
func (u *Upgrader) Serve(srv *http.Server, ln net.Listener) error {
	return u.serve(srv, ln, nil)
}

// ServeTLS is Serve over TLS. Session tickets stay good across upgrades, see Options.OwnTicketKeys. The files may be empty where srv.TLSConfig has certificates, as in http.Server.ServeTLS.
func (u *Upgrader) ServeTLS(srv *http.Server, ln net.Listener, certFile, keyFile string) error {
	config, err := serverTLS(srv, certFile, keyFile)
	if err != nil {
		return err
	}
	return u.serve(srv, ln, config)
}

func (u *Upgrader) serve(srv *http.Server, ln net.Listener, config *tls.Config) error {
	h, err := u.servers.takeOver(u, srv)
	if err != nil {
		return err
	}
	u.work.add()
	defer u.work.end()

	a := u.Fds.acceptorOf(ln)
	a.conns.lingerAfter(u.exit)
	named, isNamed := ln.(*NamedListener)
	switch {
	case config != nil:
		u.serveTickets(config, a.label)
		config.NextProtos = protocols(srv, config.NextProtos)
		err = srv.Serve(tls.NewListener(a, config))
	case isNamed && waitsAsAssumed():
		defer u.servers.adopt(named, h)()
		err = srv.Serve(movables{named, h})
	default:
		err = srv.Serve(a)
	}
	if u.Phase() < Draining { // it broke, or the program called Shutdown
		a.Close()
		return err
	}
	h.finish(u, &a.conns)
	return nil
}

func serverTLS(srv *http.Server, certFile, keyFile string) (*tls.Config, error) {
	config := &tls.Config{}
	if srv.TLSConfig != nil {
		config = srv.TLSConfig.Clone()
	}
	if len(config.Certificates) > 0 || config.GetCertificate != nil || config.GetConfigForClient != nil {
		if certFile == "" && keyFile == "" {
			return config, nil
		}
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("serve TLS: %w", err)
	}
	config.Certificates = []tls.Certificate{cert}
	return config, nil
}

// httpServer is an http.Server that Serve has taken over.
type httpServer struct {
	u   *Upgrader
	srv *http.Server
	h2  *h2Server // nil where the program has its own way with HTTP/2

	mu    sync.Mutex
	conns map[*movableConn]bool
}

// httpServers are those that Serve has taken over. One may serve several listeners.
type httpServers struct {
	mu        sync.Mutex
	all       map[*http.Server]*httpServer
	adopters  map[string]*adopted // by listener
	firstWait time.Time           // when the first connection from the parent came
}

// takeOver makes srv end its connections the right way. HTTP/2 is served apart from it, since Shutdown, which alone
// makes HTTP/2 say GOAWAY, also closes idle HTTP/1 connections, whose clients may be sending.
func (s *httpServers) takeOver(u *Upgrader, srv *http.Server) (*httpServer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.all[srv]; h != nil {
		return h, nil
	}
	h := &httpServer{u: u, srv: srv, conns: make(map[*movableConn]bool)}
	watchConns(srv)
	handler := srv.Handler
	if handler == nil {
		handler = http.DefaultServeMux
	}
	if srv.TLSNextProto == nil {
		h2, err := newH2Server(srv, u.opts.DrainTimeout)
		if err != nil {
			return nil, err
		}
		h.h2, srv.TLSNextProto = h2, h2.nextProtos()
	}
	srv.Handler = u.lastResponses(handler)
	if s.all == nil {
		s.all = make(map[*http.Server]*httpServer)
	}
	s.all[srv] = h
	return h, nil
}

// protocols returns what to offer by ALPN, as net/http's ServeTLS would.
func protocols(srv *http.Server, offered []string) []string {
	p := srv.Protocols
	if (p == nil || p.HTTP2()) && srv.TLSNextProto["h2"] != nil && !slices.Contains(offered, "h2") {
		offered = append(offered, "h2")
	}
	if (p == nil || p.HTTP1()) && !slices.Contains(offered, "http/1.1") {
		offered = append(offered, "http/1.1")
	}
	return offered
}

// idleGrace is how long idle connections may still speak when the service stops, with nobody to come after it.
const idleGrace = time.Second

// finish waits until the connections of one listener are closed. The end of the drain closes those that are not.
func (h *httpServer) finish(u *Upgrader, conns *tracker) {
	if h.h2 != nil {
		h.h2.leave()
	}
	empty := conns.none()
	<-u.exit
	if u.forGood {
		select {
		case <-empty:
		case <-time.After(idleGrace):
			_ = h.srv.Shutdown(canceled) // closes what is idle and waits for nothing
		}
	}
	select {
	case <-empty:
	case <-u.done:
		_ = h.srv.Close()
	}
}

var canceled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
