package proxy

import (
	"context"
	"crypto/tls"
	"reflect"
	"sync"

	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/tlsreload"
)

// certificates are those of a listener, or why they cannot be had.
type certificates struct {
	*tlsreload.Reloader
	err error
}

// loadsAtOnce bounds how many listeners' certificates are loaded at a time. That is mostly waiting: for disks, and for
// files that were just written to settle.
const loadsAtOnce = 32

// loadCertificates loads those of all listeners at once. It has none for a listener that needs none or keeps its own.
func (p *Proxy) loadCertificates(ctx context.Context, ch *changes, listeners []config.Listener, before *running) []certificates {
	all := make([]certificates, len(listeners))
	places := make(chan struct{}, loadsAtOnce)
	var loading sync.WaitGroup
	for i, cfg := range listeners {
		if cfg.TLS == nil || before.listener(cfg).keepsCertificates(cfg) {
			continue
		}
		places <- struct{}{}
		loading.Go(func() {
			all[i].Reloader, all[i].err = tlsreload.New(ctx, p.tlsOptions(cfg))
			<-places
		})
	}
	loading.Wait()
	for _, certs := range all {
		if certs.Reloader != nil {
			ch.undo = append(ch.undo, func() { _ = certs.Close() })
		}
	}
	return all
}

// keepsCertificates tells whether those that l serves with, which may be nil, are what c asks for.
func (l *listener) keepsCertificates(c config.Listener) bool {
	return l != nil && reflect.DeepEqual(l.settings.Load().config.TLS, c.TLS)
}

func (p *Proxy) tlsOptions(c config.Listener) tlsreload.Options {
	full, resumed := p.counts.handshakes.With(c.Name, "false"), p.counts.handshakes.With(c.Name, "true")
	o := c.TLS.ReloadOptions()
	o.TicketKeys, o.TicketDomain, o.Logger = p.tickets, c.Name, p.log.With("listener", c.Name)
	o.Base = &tls.Config{VerifyConnection: func(s tls.ConnectionState) error {
		if s.DidResume {
			resumed.Inc()
		} else {
			full.Inc()
		}
		return nil
	}}
	return o
}
