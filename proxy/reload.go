package proxy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"reflect"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/seed-e3b9a99f/baton/proxy/admin"
	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/upgrader"
)

// reloaded is how the last reload went.
type reloaded struct {
	at  time.Time
	err error
}

// Reload makes the configuration file take effect, or changes nothing.
func (s service) Reload(ctx context.Context) (admin.ReloadResult, error) { return s.reload(ctx) }

func (p *Proxy) reload(ctx context.Context) (admin.ReloadResult, error) {
	var changes []string
	err := p.beginChange(ctx)
	if err == nil {
		changes, err = p.tryReload(ctx)
		p.changing.Unlock()
	}
	p.reloaded.Store(&reloaded{at: time.Now(), err: err})
	if err != nil {
		p.counts.reloads.With("refused").Inc()
		p.log.Error("reload refused: nothing has changed", "file", p.opts.File, "err", err)
		return admin.ReloadResult{}, err
	}
	p.counts.reloads.With("ok").Inc()
	p.log.Info("reloaded", "file", p.opts.File, "changes", strings.Join(changes, "; "))
	return admin.ReloadResult{Changes: changes}, nil
}

func (p *Proxy) tryReload(ctx context.Context) ([]string, error) {
	if p.opts.File == "" {
		return nil, errors.New("there is no configuration file: the proxy was started with --listen")
	}
	c, err := config.Load(p.opts.File)
	if err != nil {
		return nil, err
	}
	before := p.running.Load()
	if err := needsUpgrade(before.config, c); err != nil {
		return nil, err
	}
	r, ch, err := p.build(ctx, c, before)
	if err != nil {
		return nil, err
	}
	p.adopt(r, before, ch)
	if c.Log != before.config.Log {
		ch.say("log: changed")
	}
	if c.Maintenance != before.config.Maintenance {
		ch.say("maintenance: changed")
	}
	return ch.said, nil
}

var errLeaving = errors.New("this process has been replaced, or stops: ask the one in charge")

// beginChange locks p.changing, at a time when no upgrade is under way: the new process has read the file as it was, and
// this one must not come to differ from that.
func (p *Proxy) beginChange(ctx context.Context) error {
	moved := make(chan struct{}, 1)
	stop := p.phases.follow(func(upgrader.PhaseChange) {
		select {
		case moved <- struct{}{}:
		default:
		}
	})
	defer stop()
	for {
		p.changing.Lock() // an upgrade that begins from here on waits for this in its preflight
		phase := p.u.Phase()
		if phase == upgrader.Serving {
			return nil
		}
		p.changing.Unlock()
		if phase > upgrader.HandingOver {
			return errLeaving
		}
		select {
		case <-moved:
		case <-p.u.Exit():
			return errLeaving
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// needsUpgrade tells of everything that has changed and belongs to a process.
func needsUpgrade(old, next *config.Config) error {
	errs := &multierror.Error{ErrorFormat: lines}
	check := func(what string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			errs = multierror.Append(errs, fmt.Errorf("%s changes with an upgrade only: kill -HUP the proxy, or baton upgrade", what))
		}
	}
	check("pid_file", old.PIDFile, next.PIDFile)
	check("admin", old.Admin, next.Admin)
	check("upgrade", old.Upgrade, next.Upgrade)
	check("reload", old.Reload, next.Reload)
	check("log.format", old.Log.Format, next.Log.Format)
	check("ticket_keys", old.TicketKeys, next.TicketKeys)
	was := make(map[string]config.Listener)
	for _, l := range old.Listeners {
		was[l.Address] = l
	}
	for _, l := range next.Listeners {
		o, ok := was[l.Address]
		if !ok {
			continue
		}
		at := "listener " + o.Name + ": "
		check(at+"its name", o.Name, l.Name)
		check(at+"protocol", o.Protocol, l.Protocol)
		check(at+"tls, on or off,", o.TLS != nil, l.TLS != nil)
		if l.Protocol != config.HTTP {
			continue
		}
		check(at+"proxy_protocol", o.ProxyProtocol, l.ProxyProtocol)
		check(at+"idle_timeout", o.IdleTimeout, l.IdleTimeout)
		check(at+"http.read_header_timeout", o.HTTP.ReadHeaderTimeout, l.HTTP.ReadHeaderTimeout)
		check(at+"http.read_timeout", o.HTTP.ReadTimeout, l.HTTP.ReadTimeout)
		check(at+"http.write_timeout", o.HTTP.WriteTimeout, l.HTTP.WriteTimeout)
		check(at+"http.max_header_bytes", o.HTTP.MaxHeaderBytes, l.HTTP.MaxHeaderBytes)
		check(at+"http.h2c", o.HTTP.H2C, l.HTTP.H2C)
	}
	return errs.ErrorOrNil()
}

// watchFile reloads when the file changes or the signal comes, as the configuration says.
func (p *Proxy) watchFile(c *config.Config) {
	if p.opts.File == "" {
		return
	}
	signals := make(chan os.Signal, 1)
	if sig := reloadSignal(c.Reload.Signal); sig != nil {
		signal.Notify(signals, sig)
	}
	var tick <-chan time.Time
	if c.Reload.Watch > 0 {
		tick = time.Tick(c.Reload.Watch)
	}
	go func() {
		for {
			select {
			case <-p.u.Done():
				return
			case <-signals:
				p.reloadOnSignal(c.Reload.Signal)
			case <-tick:
				now, err := contents(p.opts.File)
				if p.leaving() || err != nil || now == p.seen {
					continue
				}
				p.seen = now
				_, _ = p.reload(context.Background()) // it has logged the error
			}
		}
	}()
}

// reloadOnSignal reloads, or passes the signal on: whoever sent it may have read the pid file a moment before an upgrade.
func (p *Proxy) reloadOnSignal(name string) {
	p.log.Info("signal", "action", "reload")
	if !p.leaving() {
		p.seen, _ = contents(p.opts.File)
		if _, err := p.reload(context.Background()); !errors.Is(err, errLeaving) {
			return
		}
	}
	if pid := p.u.ChildPID(); pid != 0 {
		next, err := os.FindProcess(pid)
		if err == nil {
			err = next.Signal(reloadSignal(name))
		}
		p.log.Info("signal passed on to the process in charge", "action", "reload", "child", pid, "err", err)
	}
}

func (p *Proxy) leaving() bool {
	select {
	case <-p.u.Exit():
		return true
	default:
		return false
	}
}

func contents(path string) ([sha256.Size]byte, error) {
	b, err := os.ReadFile(path)
	return sha256.Sum256(b), err
}

// preflight has the program that would be started check the configuration.
func (p *Proxy) preflight(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, path, "check", "--config", p.opts.File).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s check --config %s: %w: %s", path, p.opts.File, err, strings.TrimSpace(string(out)))
	}
	return nil
}
