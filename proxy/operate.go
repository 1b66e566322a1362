package proxy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/admin"
	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/metrics"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// operate opens what operators use: the admin socket and the metrics.
func (p *Proxy) operate(c *config.Config) error {
	p.gauges()
	if path := c.Admin.Socket; path != "" {
		ln, err := p.u.ListenNamed("admin", "unix", path, upgrader.HTTP)
		if err != nil {
			return fmt.Errorf("admin socket: %w", err)
		}
		if err := admin.Restrict(path); err != nil {
			return fmt.Errorf("admin socket: %w", err)
		}
		p.serveAlways(ln, nil, &http.Server{Handler: admin.Handler(service{p}, p.log), ConnContext: admin.ConnContext})
	}
	if address := c.Admin.Metrics; address != "" {
		ln, err := p.u.ListenNamed("metrics", "tcp", address, upgrader.HTTP)
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", p.counts.set.Handler())
		// On probation the parent counts on, and only when this process is in charge does it know how far.
		p.serveAlways(ln, p.u.InCharge(), &http.Server{Handler: mux})
	}
	return nil
}

// serveAlways serves also in maintenance mode, once begin is closed, if it is not nil.
func (p *Proxy) serveAlways(ln *upgrader.NamedListener, begin <-chan struct{}, srv *http.Server) {
	srv.ReadHeaderTimeout = 10 * time.Second
	p.always.Store(srv, srv.Handler)
	p.u.Go(func() error {
		if begin != nil {
			select {
			case <-begin:
			case <-p.u.Exit():
			}
		}
		return p.u.Serve(srv, ln)
	})
}

// service is the Proxy as an operator sees it.
type service struct{ *Proxy }

// Status says how the proxy is doing.
func (s service) Status(context.Context) (admin.Status, error) {
	p := s.Proxy
	r := p.running.Load()
	st := admin.Status{
		Version: p.opts.Version, PID: os.Getpid(), Generation: p.u.Generation(), Phase: p.u.Phase().String(),
		Since: p.phases.since(), Living: p.u.Living(), ChildPID: p.u.ChildPID(), Maintenance: p.u.Maintenance(),
		ConfigFile: p.opts.File, ConfigLoaded: r.since, Certificates: p.certificates(),
	}
	if last := p.reloaded.Load(); last != nil {
		st.LastReload = &admin.LastReload{At: last.at}
		if last.err != nil {
			st.LastReload.Error = last.err.Error()
		}
	}
	for _, l := range r.sorted() {
		now, total := l.connections()
		st.Listeners = append(st.Listeners, admin.Listener{
			Name: l.config.Name, Protocol: string(l.config.Protocol), Address: l.ln.Addr().String(), Connections: now,
			Accepted: total, Paused: l.stream != nil && p.u.Maintenance() && r.config.Maintenance.PauseTCP,
		})
	}
	for _, name := range slices.Sorted(maps.Keys(r.pools)) {
		up := admin.Upstream{Name: name, Balance: string(r.config.Upstreams[name].Balance)}
		for _, v := range r.pools[name].Status() {
			up.Servers = append(up.Servers, admin.Server{
				Address: v.Address, State: v.State, Since: v.Since, Active: v.Active, Picks: v.Picks, Failures: v.Failures,
				LastError: v.LastError,
			})
		}
		st.Upstreams = append(st.Upstreams, up)
	}
	return st, nil
}

// Upgrade replaces this process, and tells of the phases.
func (s service) Upgrade(ctx context.Context, progress func(string)) error {
	stop := s.phases.follow(func(c upgrader.PhaseChange) {
		switch {
		case c.Err != nil:
		case c.Child != 0:
			progress(fmt.Sprintf("%s: pid %d", c.To, c.Child))
		default:
			progress(c.To.String())
		}
	})
	defer stop()
	done := make(chan error, 1)
	go func() { done <- s.u.Upgrade() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Maintenance tells whether maintenance mode is on.
func (s service) Maintenance() bool { return s.u.Maintenance() }

// SetMaintenance switches maintenance mode.
func (s service) SetMaintenance(on bool) error {
	s.u.SetMaintenance(on)
	return nil
}

// certificates are those that are served.
func (p *Proxy) certificates() (all []admin.Certificate) {
	for _, l := range p.running.Load().sorted() {
		certs := l.settings.Load().certs
		if certs == nil {
			continue
		}
		status := certs.Status()
		problems := make(map[string]string)
		for _, problem := range status.Problems {
			problems[problem.Name] = problem.Text
		}
		for _, c := range status.Certificates {
			all = append(all, admin.Certificate{
				Listener: l.config.Name, Source: c.Name, Names: c.Names, Serial: c.Serial, NotBefore: c.NotBefore,
				NotAfter: c.NotAfter, Error: problems[c.Name],
			})
		}
	}
	return all
}

type server = upstream.ServerStatus

// servers reads a number of every server.
func (p *Proxy) servers(read func(server) float64) (all []metrics.Sample) {
	r := p.running.Load()
	for _, name := range slices.SortedFunc(maps.Keys(r.pools), cmp.Compare[string]) {
		for _, v := range r.pools[name].Status() {
			all = append(all, metrics.Sample{Labels: []string{name, v.Address}, Value: read(v)})
		}
	}
	return all
}

// phases tells those who follow what the upgrader does.
type phases struct {
	mu        sync.Mutex
	last      time.Time
	followers map[int]func(upgrader.PhaseChange)
	next      int
}

func (p *Proxy) phaseChanged(c upgrader.PhaseChange) {
	switch {
	case c.Err != nil && c.To == upgrader.Serving:
		p.counts.upgrades.With("failed").Inc()
	case c.To == upgrader.Draining && c.From == upgrader.HandingOver:
		p.counts.upgrades.With("ok").Inc()
	}
	p.phases.mu.Lock()
	defer p.phases.mu.Unlock()
	p.phases.last = c.At
	for _, fn := range p.phases.followers {
		fn(c)
	}
}

func (ph *phases) since() time.Time {
	ph.mu.Lock()
	defer ph.mu.Unlock()
	return ph.last
}

// follow has fn called with every change of phase until stop. It must not block.
func (ph *phases) follow(fn func(upgrader.PhaseChange)) (stop func()) {
	ph.mu.Lock()
	defer ph.mu.Unlock()
	if ph.followers == nil {
		ph.followers = make(map[int]func(upgrader.PhaseChange))
	}
	ph.next++
	key := ph.next
	ph.followers[key] = fn
	return func() {
		ph.mu.Lock()
		defer ph.mu.Unlock()
		delete(ph.followers, key)
	}
}
