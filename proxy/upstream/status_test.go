package upstream

import (
	"encoding/json"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// passed is what a pool knows, as the next generation gets it.
func passed(t interface{ Fatal(...any) }, p *Pool) []Knowledge {
	text, err := json.Marshal(p.Knowledge())
	if err != nil {
		t.Fatal(err)
	}
	var known []Knowledge
	if err := json.Unmarshal(text, &known); err != nil {
		t.Fatal(err)
	}
	return known
}

func TestStatusAsJSON(t *testing.T) {
	p := still(t, config.RoundRobin, 1)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := p.servers[0]
	s.since, s.lastCheck, s.lastFailure, s.lastError = at, at, at, "broken"
	s.picks, s.failures, s.changes = 3, 2, 1
	s.active.Store(4)
	got, err := json.Marshal(p.Status())
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"address":"10.0.0.1:80","state":"up","since":"2026-03-01T12:00:00Z","last_error":"broken",` +
		`"last_failure":"2026-03-01T12:00:00Z","active":4,"picks":3,"failures":2,"changes":1,"last_check":"2026-03-01T12:00:00Z"}]`
	if string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// An upgrade in the middle of everything: the next generation begins where this one stands.
func TestKnowledgePassesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := new(answers)
		servers.set(errBroken, "a:1")
		old := begin(t, checked(), Options{}, servers.ask)
		checks(3)
		fail(t, old, "b:1", 3)
		fail(t, old, "c:1", 2)
		old.Close()
		wantStates(t, old, "down ejected up")
		time.Sleep(4 * time.Second)

		log := new(journal)
		p := begin(t, checked(), Options{Logger: slog.New(log), Knowledge: passed(t, old)}, servers.ask)
		wantStates(t, p, "down ejected up")
		for i, s := range p.Status() {
			was := old.Status()[i]
			if !s.Since.Equal(was.Since) || s.LastError != was.LastError ||
				s.Picks != was.Picks || s.Failures != was.Failures || s.Changes != was.Changes {
				t.Errorf("%+v, was %+v", s, was)
			}
		}
		synctest.Wait()
		log.want(t) // nothing has changed
		time.Sleep(6 * time.Second)
		synctest.Wait()
		wantStates(t, p, "down up up") // ten seconds after it was ejected, not six more than that
		log.want(t, "INFO app server is up: b:1 ejected>up: its ejection is over")
		fail(t, p, "c:1", 1) // the third in a row
		wantStates(t, p, "down up ejected")
		servers.set(nil, "a:1")
		checks(3)
		wantStates(t, p, "up up ejected")
	})
}

// A verdict holds where the same is asked. Otherwise nobody might ever take the server in again.
func TestKnowledgeOfOtherQuestions(t *testing.T) {
	known := []Knowledge{
		{Address: "a:1", State: "down", Check: "connect", Contrary: 1, Since: time.Now().Add(-time.Hour)},
		{Address: "b:1", State: "ejected", Until: time.Now().Add(time.Minute), Row: 3, Ejections: 2},
		{Address: "elsewhere:1", State: "down"},
		{Address: "c:1", State: "asleep"},
	}
	for _, c := range []struct {
		name   string
		change func(*config.Upstream)
		want   string
	}{
		{"the same", func(*config.Upstream) {}, "down ejected up"},
		{"another interval", func(cfg *config.Upstream) { cfg.Health.Interval *= 2 }, "down ejected up"},
		{"another path", func(cfg *config.Upstream) { cfg.Health.Path = "/healthz" }, "up ejected up"},
		{"no checks", func(cfg *config.Upstream) { cfg.Health = nil }, "up ejected up"},
		{"no ejection", func(cfg *config.Upstream) { cfg.Ejection.Failures = 0 }, "down up up"},
		{"only these two", func(cfg *config.Upstream) { cfg.Servers = cfg.Servers[:2] }, "down up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := checked()
			c.change(&cfg)
			p, err := newPool("app", cfg, Options{Knowledge: known})
			if err != nil {
				t.Fatal(err)
			}
			wantStates(t, p, c.want)
		})
	}
}

// A clock that was set back does not make an ejection longer than it can be, nor an odd Since.
func TestKnowledgeFromTheFuture(t *testing.T) {
	future := time.Now().Add(1000 * time.Hour)
	p, err := newPool("app", three(), Options{Knowledge: []Knowledge{
		{Address: "b:1", State: "ejected", Since: future, Until: future, Row: -1, Ejections: 1 << 40},
	}})
	if err != nil {
		t.Fatal(err)
	}
	b := p.servers[1]
	if left := time.Until(b.until); left > 100*time.Second || b.since.After(time.Now()) || b.ejections != 10 || b.row != 0 {
		t.Errorf("%+v", b)
	}
}

// Failed checks in a row are counted on, and an ejection that is over has ended when it was due.
func TestKnowledgeInTheMiddle(t *testing.T) {
	ended := time.Now().Add(-time.Minute)
	p, err := newPool("app", checked(), Options{Knowledge: []Knowledge{
		{Address: "a:1", State: "up", Check: "connect", Contrary: 2},
		{Address: "b:1", State: "ejected", Since: ended.Add(-time.Minute), Until: ended, Row: 3},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if b := p.Status()[1]; !b.Since.Equal(ended) {
		t.Errorf("%+v", b)
	}
	p.checked(p.servers[0], errBroken, time.Now())
	wantStates(t, p, "down up up")
}

// Whatever happens to servers, the count of those that are in is right, one is in unless checks say that none is well,
// and the next generation sees the same.
func TestStatesHoldTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := still(t, config.RoundRobin, rapid.IntRange(1, 5).Draw(t, "servers"))
		p.cfg.Ejection = config.Ejection{Failures: 2, Duration: 10 * time.Second}
		p.cfg.Health = &config.Health{Fall: 2, Rise: 2}
		now := time.Now()
		for range rapid.IntRange(0, 80).Draw(t, "steps") {
			s := rapid.SampledFrom(p.servers).Draw(t, "server")
			switch rapid.IntRange(0, 5).Draw(t, "event") {
			case 0, 1:
				p.failed(s, now)
			case 2:
				p.checked(s, nil, now)
			case 3:
				p.checked(s, errBroken, now)
			case 4:
				s.row = 0
			case 5:
				now = now.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "seconds")) * time.Second)
				p.readmit(now)
			}
			in, well := 0, 0
			for _, s := range p.servers {
				if s.state == up {
					in++
				}
				if s.state != down {
					well++
				}
				if (s.state == ejected) == s.until.IsZero() {
					t.Fatalf("%s until %v", s.state, s.until)
				}
			}
			if in != p.in || in == 0 && well > 0 {
				t.Fatalf("%d in (counted %d), %d well", in, p.in, well)
			}
		}
		next := still(t, config.RoundRobin, len(p.servers))
		next.cfg = p.cfg
		next.inherit(passed(t, p), now)
		if states(next) != states(p) || next.in != p.in {
			t.Fatalf("%s (%d in) became %s (%d in)", states(p), p.in, states(next), next.in)
		}
	})
}

func TestMatches(t *testing.T) {
	cfg := checked()
	p := begin(t, cfg, Options{}, new(answers).ask)
	if !p.Matches(checked()) {
		t.Error("does not match what it was made with")
	}
	for name, change := range map[string]func(*config.Upstream){
		"a server":  func(cfg *config.Upstream) { cfg.Servers[1] = "d:1" },
		"fewer":     func(cfg *config.Upstream) { cfg.Servers = cfg.Servers[:2] },
		"no health": func(cfg *config.Upstream) { cfg.Health = nil },
		"rise":      func(cfg *config.Upstream) { cfg.Health.Rise++ },
		"ejection":  func(cfg *config.Upstream) { cfg.Ejection.Failures++ },
		"retries":   func(cfg *config.Upstream) { cfg.Retries++ },
	} {
		other := checked()
		change(&other)
		if p.Matches(other) {
			t.Errorf("%s: matches", name)
		}
	}
	cfg.Servers[0], cfg.Health.Rise = "e:1", 99 // the pool has its own copy
	if !p.Matches(checked()) {
		t.Error("the caller's configuration is the pool's")
	}
}
