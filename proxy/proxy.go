package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/relayset"
	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
	"github.com/seed-e3b9a99f/baton/tlsreload"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// Options say what to run.
type Options struct {
	File    string         // the configuration file, read anew by every reload and upgrade
	Config  *config.Config // in place of a file; then there is no reload
	Version string         // for the status
	Stderr  io.Writer      // gets the log; os.Stderr if nil
	Ready   io.Writer      // gets one line when the first generation is in charge, if not nil
}

// What the next generation gets.
const (
	stateTickets = "proxy/ticket-keys"
	stateServers = "proxy/upstreams"
	stateMetrics = "proxy/metrics"
	parcelRelay  = "proxy/relay"
	parcelCounts = "proxy/counts"
)

// Proxy is one process of the service.
type Proxy struct {
	opts  Options
	log   *slog.Logger
	level *slog.LevelVar

	u       *upgrader.Upgrader
	relays  *relayset.Set
	tickets *tlsreload.TicketKeys
	counts  *instruments
	phases  phases

	changing sync.Mutex        // one reload at a time
	seen     [sha256.Size]byte // what the file said when it was last read; of watchFile's goroutine
	running  atomic.Pointer[running]
	reloaded atomic.Pointer[reloaded]

	retired sync.Map // *listener that a reload has closed, whose connections may live
	always  sync.Map // *http.Server to the http.Handler that answers in maintenance mode too
}

// running is a configuration in effect. It does not change.
type running struct {
	config    *config.Config
	since     time.Time
	pools     map[string]*upstream.Pool
	listeners map[string]*listener // by address
	page      []byte               // of maintenance mode
}

// Run serves until the process was replaced or stopped, and returns what it should exit with.
func Run(ctx context.Context, o Options) error {
	c := o.Config
	seen, _ := contents(o.File) // before it is read: a change meanwhile is a change
	if c == nil {
		var err error
		if c, err = config.Load(o.File); err != nil {
			return err
		}
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	p := &Proxy{opts: o, level: new(slog.LevelVar), seen: seen}
	p.log = newLogger(c.Log, p.level, o.Stderr)
	p.counts = newInstruments()
	options := upgrader.Options{
		PIDFile: c.PIDFile, UpgradeTimeout: c.Upgrade.ReadyTimeout, Probation: c.Upgrade.Probation,
		DrainTimeout: c.Upgrade.DrainTimeout, MaxGenerations: c.Upgrade.MaxGenerations, OnPhase: p.phaseChanged,
		MaintenancePage: http.HandlerFunc(p.maintenancePage), OnMaintenance: p.maintenance, OwnTicketKeys: true, Logger: p.log,
	}
	if c.Upgrade.Probation == 0 {
		options.Probation = upgrader.NoProbation
	}
	options.Preflight = func(ctx context.Context) error {
		p.changing.Lock() // a reload may be opening what the child would open too; see beginChange
		wanted := c.Upgrade.Preflight && o.File != ""
		p.changing.Unlock()
		if !wanted {
			return nil
		}
		return p.preflight(ctx)
	}
	return upgrader.Run(ctx, options, func(u *upgrader.Upgrader) error { return p.start(ctx, u, c) })
}

func newLogger(c config.Log, level *slog.LevelVar, w io.Writer) *slog.Logger {
	setLevel(level, c.Level)
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func setLevel(level *slog.LevelVar, text string) {
	var l slog.Level
	if l.UnmarshalText([]byte(text)) == nil { // the configuration has checked it
		level.Set(l)
	}
}

// start takes over what the parent gives, and makes the configuration run.
func (p *Proxy) start(ctx context.Context, u *upgrader.Upgrader, c *config.Config) error {
	p.u = u
	if err := p.inherit(c); err != nil {
		return err
	}
	r, changes, err := p.build(ctx, c, nil)
	if err != nil {
		return err
	}
	p.adopt(r, nil, changes)
	if err := p.operate(c); err != nil {
		return err
	}
	p.watchFile(c)
	if p.opts.Ready != nil && !u.HasParent() {
		go func() {
			<-u.InCharge()
			p.printReady()
		}()
	}
	return nil
}

// inherit takes the parent's keys and counters, and offers them to the child.
func (p *Proxy) inherit(c *config.Config) error {
	var err error
	p.tickets, err = tlsreload.NewTicketKeys(tlsreload.TicketOptions{
		File: c.TicketKeys.File, Lifetime: c.TicketKeys.Lifetime, Keep: c.TicketKeys.Keep, Logger: p.log,
	})
	if err != nil {
		return err
	}
	if blob, ok := p.u.State(stateTickets); ok {
		if err := p.tickets.Import(blob); err != nil { // clients need a full handshake
			p.log.Warn("TLS sessions of before do not resume", "err", err)
		}
	}
	if err := p.inheritCounts(); err != nil {
		return err
	}
	p.relays, err = relayset.New(p.u, relayset.Options{Kind: parcelRelay, Adopt: p.adoptRelay, Logger: p.log})
	if err != nil {
		return err
	}
	for name, export := range map[string]func() []byte{
		stateTickets: p.tickets.Export, stateServers: p.exportKnowledge, stateMetrics: p.counts.set.Export,
	} {
		if err := p.u.ProvideState(name, export); err != nil {
			return err
		}
	}
	return nil
}

// knowledge is what the parent knew of the servers of each upstream.
func (p *Proxy) knowledge() map[string][]upstream.Knowledge {
	blob, ok := p.u.State(stateServers)
	if !ok {
		return nil
	}
	var k map[string][]upstream.Knowledge
	if err := json.Unmarshal(blob, &k); err != nil {
		p.log.Warn("what the parent knows of servers is lost", "err", err)
	}
	return k
}

func (p *Proxy) exportKnowledge() []byte {
	k := make(map[string][]upstream.Knowledge)
	for name, pool := range p.running.Load().pools {
		k[name] = pool.Knowledge()
	}
	blob, err := json.Marshal(k)
	if err != nil {
		p.log.Error("what is known of servers is not passed on", "err", err)
	}
	return blob
}

func (p *Proxy) printReady() {
	line := "ready"
	for _, l := range p.running.Load().sorted() {
		line += fmt.Sprintf(" %s=%s", l.config.Name, l.ln.Addr())
	}
	fmt.Fprintf(p.opts.Ready, "%s pid=%d\n", line, os.Getpid())
}
