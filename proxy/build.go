package proxy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
)

// changes are what build has made, to be brought into effect or undone.
type changes struct {
	opened   []*listener
	kept     []*listener
	undo     []func()
	settings map[*listener]*settings
	said     []string // for people
}

func (c *changes) say(format string, args ...any) {
	c.said = append(c.said, fmt.Sprintf(format, args...))
}

func (c *changes) undoAll() {
	for _, undo := range slices.Backward(c.undo) {
		undo()
	}
}

// build makes what c asks for, with all that can be kept of before, which is nil at the start. Nothing of it is in
// effect: where something fails, all of it is undone, and the error tells of everything that failed.
func (p *Proxy) build(ctx context.Context, c *config.Config, before *running) (*running, *changes, error) {
	r := &running{config: c, since: time.Now(), pools: make(map[string]*upstream.Pool), listeners: make(map[string]*listener)}
	ch := &changes{settings: make(map[*listener]*settings)}
	errs := &multierror.Error{ErrorFormat: lines}
	if c.Maintenance.Page != "" {
		var err error
		if r.page, err = os.ReadFile(c.Maintenance.Page); err != nil {
			errs = multierror.Append(errs, fmt.Errorf("maintenance page: %w", err))
		}
	}
	var known map[string][]upstream.Knowledge
	if before == nil {
		known = p.knowledge()
	}
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		if err := p.buildPool(r, ch, name, known[name], before); err != nil {
			errs = multierror.Append(errs, err)
		}
	}
	if errs.ErrorOrNil() == nil { // listeners need the pools
		certs := p.loadCertificates(ctx, ch, c.Listeners, before)
		for i, l := range c.Listeners {
			if err := p.buildListener(r, ch, l, certs[i], before); err != nil {
				errs = multierror.Append(errs, fmt.Errorf("listener %s: %w", l.Name, err))
			}
		}
	}
	if err := errs.ErrorOrNil(); err != nil {
		ch.undoAll()
		return nil, nil, err
	}
	return r, ch, nil
}

// lines puts each of several errors on a line.
func lines(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "\n")
}

func (p *Proxy) buildPool(r *running, ch *changes, name string, known []upstream.Knowledge, before *running) error {
	cfg := r.config.Upstreams[name]
	if before != nil {
		old := before.pools[name]
		if old != nil && old.Matches(cfg) {
			r.pools[name] = old
			return nil
		}
		if old != nil {
			known = old.Knowledge()
			ch.say("upstream %s: changed", name)
		} else {
			ch.say("upstream %s: new", name)
		}
	}
	pool, err := upstream.New(name, cfg, upstream.Options{
		Logger: p.log, Knowledge: known,
		OnFailure: func(server string) { p.counts.failures.With(name, server).Inc() },
	})
	if err != nil {
		return err
	}
	ch.undo = append(ch.undo, pool.Close)
	r.pools[name] = pool
	return nil
}

// listener returns the one that runs on the address of cfg, or nil.
func (r *running) listener(cfg config.Listener) *listener {
	if r == nil {
		return nil
	}
	return r.listeners[cfg.Address]
}

// buildListener opens a listener, or keeps it.
func (p *Proxy) buildListener(r *running, ch *changes, cfg config.Listener, certs certificates, before *running) error {
	l := before.listener(cfg)
	if l == nil {
		var err error
		if l, err = p.open(cfg); err != nil {
			return err
		}
		ch.undo = append(ch.undo, func() {
			_ = l.ln.Close() // nobody accepts what waits there
			_ = p.u.Remove(l.fd)
		})
		ch.opened = append(ch.opened, l)
	} else {
		ch.kept = append(ch.kept, l)
	}
	s, err := p.newSettings(r, ch, l, cfg, certs)
	if err != nil {
		return err
	}
	ch.settings[l] = s
	r.listeners[cfg.Address] = l
	switch {
	case before == nil:
	case slices.Contains(ch.opened, l):
		ch.say("listener %s: opened on %s", cfg.Name, l.ln.Addr())
	case !reflect.DeepEqual(l.settings.Load().config, cfg):
		ch.say("listener %s: changed", cfg.Name)
	}
	return nil
}

// adopt brings what was built into effect. It cannot fail.
func (p *Proxy) adopt(r *running, before *running, ch *changes) {
	for l, s := range ch.settings {
		l.use(s)
	}
	p.running.Store(r)
	setLevel(p.level, r.config.Log.Level)
	for _, l := range ch.opened {
		p.u.Go(l.serve)
	}
	p.maintenance(p.u.Maintenance())
	if before == nil {
		return
	}
	for address, l := range before.listeners {
		if r.listeners[address] == nil {
			ch.say("listener %s: closed on %s; its connections live on", l.config.Name, l.ln.Addr())
			if err := p.u.Remove(l.fd); err != nil {
				p.log.Error("close listener", "listener", l.config.Name, "err", err)
			}
			l.retire()
			p.retired.Store(l, true)
		}
	}
	for name, pool := range before.pools {
		if r.pools[name] == nil {
			ch.say("upstream %s: gone", name)
		}
		if r.pools[name] != pool {
			pool.Close()
		}
	}
}

// sorted returns the listeners in the order of the configuration.
func (r *running) sorted() []*listener {
	order := make(map[string]int)
	for i, l := range r.config.Listeners {
		order[l.Address] = i
	}
	return slices.SortedFunc(maps.Values(r.listeners), func(a, b *listener) int {
		return cmp.Compare(order[a.config.Address], order[b.config.Address])
	})
}
