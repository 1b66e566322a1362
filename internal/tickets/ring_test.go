package tickets

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Unix(1_000_000, 0)

// ticket is one that a config has sealed, and the key behind it.
type ticket struct {
	sealed []byte
	domain string
	secret [32]byte
}

// ringMachine checks a ring against a list of keys that it keeps by the rules itself.
type ringMachine struct {
	ring    *Ring
	now     time.Time
	configs map[string]*tls.Config
	session *tls.SessionState
	issued  []ticket
	made    time.Time // of the newest own key, or since when the clock has let it be newest
}

var domains = []string{"", "web", "api", "web/ca1"}

func newRingMachine(session *tls.SessionState) *ringMachine {
	m := &ringMachine{now: epoch, made: epoch, session: session, configs: make(map[string]*tls.Config)}
	m.ring = New(time.Hour, 3, m.now)
	for _, d := range domains {
		m.configs[d] = &tls.Config{}
		m.ring.Use(m.configs[d], d)
	}
	return m
}

func (m *ringMachine) Seal(t *rapid.T) {
	domain := rapid.SampledFrom(domains).Draw(t, "domain")
	sealed, err := m.configs[domain].EncryptTicket(tls.ConnectionState{}, m.session)
	if err != nil {
		t.Fatal(err)
	}
	m.issued = append(m.issued, ticket{sealed, domain, m.ring.keys[m.ring.issuing].Secret})
}

func (m *ringMachine) Rotate(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "minutes")) * time.Minute)
	before := slices.Clone(m.ring.keys)
	shared := m.ring.shared
	if rotated := m.ring.Rotate(m.now); shared {
		if !slices.Equal(before, m.ring.keys) {
			t.Fatal("keys of others have changed")
		}
	} else if due := !m.now.Before(m.made.Add(time.Hour)); rotated != due {
		t.Fatalf("rotated: %v, due: %v", rotated, due)
	} else if due {
		m.made = m.now
		if want := before[:min(len(before), 2)]; !slices.Equal(m.ring.keys[1:], want) {
			t.Fatalf("%v became %v", before, m.ring.keys)
		}
	}
}

func (m *ringMachine) ClockGoesBack(t *rapid.T) {
	m.now = m.now.Add(-time.Duration(rapid.IntRange(1, 1000).Draw(t, "minutes")) * time.Minute)
	if m.made.After(m.now) {
		m.made = m.now
	}
	m.ring.Rotate(m.now)
}

func (m *ringMachine) Import(t *rapid.T) {
	shared := m.ring.shared
	blob := m.ring.Export()
	next := New(time.Hour, 3, m.now)
	for d, config := range m.configs {
		next.Use(config, d)
	}
	if err := next.Import(blob, m.now); err != nil {
		t.Fatal(err)
	}
	m.ring.Rotate(m.now)
	if !shared && next.keys[0].Secret == m.ring.keys[0].Secret && !bytes.Equal(next.Export(), blob) {
		t.Fatal("the blob is another after Import")
	}
	m.ring, m.made = next, next.keys[0].From
}

func (m *ringMachine) Replace(t *rapid.T) {
	minutes := rapid.SliceOfNDistinct(rapid.IntRange(-200, 200), 1, 6, rapid.ID).Draw(t, "minutes")
	var keys []Key
	for _, d := range minutes {
		keys = append(keys, NewKey(m.now.Add(time.Duration(d)*time.Minute)))
	}
	if rapid.Bool().Draw(t, "old ones too") {
		keys = append(keys, m.ring.keys...)
	}
	if err := m.ring.Replace(keys, m.now); err != nil && len(keys) <= Max {
		t.Fatal(err)
	}
}

func (m *ringMachine) InvalidateAll(*rapid.T) {
	m.ring.InvalidateAll(m.now)
	m.made = m.now
}

// Check holds whatever has happened.
func (m *ringMachine) Check(t *rapid.T) {
	r := m.ring
	if len(r.keys) == 0 || len(r.keys) > Max || !r.shared && len(r.keys) > 3 {
		t.Fatalf("%d keys", len(r.keys))
	}
	if !slices.IsSortedFunc(r.keys, func(a, b Key) int { return b.From.Compare(a.From) }) {
		t.Fatalf("not newest first: %v", r.keys)
	}
	for i, k := range r.keys {
		if i < r.issuing && !k.From.After(m.now) || i == r.issuing && k.From.After(m.now) && i < len(r.keys)-1 {
			t.Fatalf("at %v key %d of %v issues", m.now, r.issuing, r.keys)
		}
	}
	if next := r.Next(m.now); !next.IsZero() && !next.After(m.now) {
		t.Fatalf("rotated, and rotates next at %v, now is %v", next, m.now)
	}
	if !r.shared && !r.Next(m.now).Equal(m.made.Add(time.Hour)) {
		t.Fatalf("rotates at %v, the key is from %v", r.Next(m.now), m.made)
	}
	for _, i := range m.issued[max(0, len(m.issued)-12):] {
		kept := slices.ContainsFunc(r.keys, func(k Key) bool { return k.Secret == i.secret })
		for d, config := range m.configs {
			state, err := config.DecryptTicket(i.sealed, tls.ConnectionState{})
			if err != nil {
				t.Fatal(err)
			}
			if opens, want := state != nil, kept && d == i.domain; opens != want {
				t.Fatalf("a ticket of %q opens in %q: %v; its key is kept: %v", i.domain, d, opens, kept)
			}
		}
	}
}

func TestRing(t *testing.T) {
	session := sessionState(t)
	rapid.Check(t, func(t *rapid.T) {
		m := newRingMachine(session)
		t.Repeat(map[string]func(*rapid.T){
			"": m.Check, "seal": m.Seal, "rotate": m.Rotate, "clock goes back": m.ClockGoesBack, "import": m.Import,
			"replace": m.Replace, "invalidate": m.InvalidateAll,
		})
	})
}

// No two domains, secrets or both lead to the same key.
func TestDerivedKeysDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.String(), 1, 5, rapid.ID).Draw(t, "domains")
		seen := make(map[[32]byte]string)
		for i := range 3 {
			k := NewKey(epoch)
			seen[k.Secret] = fmt.Sprintf("secret %d", i)
			for _, name := range names {
				d := derive(k, name)
				if other, twice := seen[d]; twice {
					t.Fatalf("key %d of %q is that of %s", i, name, other)
				}
				if d != derive(k, name) {
					t.Fatal("another key the second time")
				}
				seen[d] = fmt.Sprintf("key %d of %q", i, name)
			}
		}
	})
}

// A key that is set for later opens at once, and issues when its time comes: not before, and not late.
func TestReplaceIssuesWhenDue(t *testing.T) {
	session := sessionState(t)
	now := epoch
	old, later := NewKey(now.Add(-time.Minute)), NewKey(now.Add(time.Minute))
	early, late := New(0, 0, now), New(0, 0, now)
	var a, b tls.Config
	early.Use(&a, "web")
	late.Use(&b, "web")
	for _, r := range []*Ring{early, late} {
		if err := r.Replace([]Key{old, later}, now); err != nil {
			t.Fatal(err)
		}
	}
	if got := early.Next(now); !got.Equal(later.From) {
		t.Errorf("due at %v, want %v", got, later.From)
	}
	if passed, err := parseBlob(early.Export()); err != nil || len(passed) != 1 || passed[0].Secret != old.Secret {
		t.Errorf("a key that nobody has used yet is passed on: %v, %v", passed, err)
	}
	if early.Rotate(later.From.Add(-1)) {
		t.Error("issues before its time")
	}
	if !early.Rotate(later.From) {
		t.Fatal("does not issue when its time has come")
	}
	if _, from := early.State(); !from.Equal(later.From) {
		t.Errorf("issues from %v", from)
	}
	if got := early.Next(later.From); !got.IsZero() {
		t.Errorf("due again at %v", got)
	}
	sealed, err := a.EncryptTicket(tls.ConnectionState{}, session)
	if err != nil {
		t.Fatal(err)
	}
	if state, _ := b.DecryptTicket(sealed, tls.ConnectionState{}); state == nil {
		t.Error("does not open where its time has not come")
	}
}

func TestForget(t *testing.T) {
	session := sessionState(t)
	r := New(0, 0, epoch)
	var kept, forgotten tls.Config
	r.Use(&kept, "web")
	r.Use(&forgotten, "web")
	r.Forget(&forgotten)
	r.InvalidateAll(epoch)
	sealed, err := kept.EncryptTicket(tls.ConnectionState{}, session)
	if err != nil {
		t.Fatal(err)
	}
	if state, _ := forgotten.DecryptTicket(sealed, tls.ConnectionState{}); state != nil {
		t.Error("a forgotten config gets new keys")
	}
	if got := slices.Collect(maps.Keys(r.domains)); len(got) != 1 {
		t.Errorf("%d configs are held", len(got))
	}
}

func TestReplaceRefuses(t *testing.T) {
	r := New(0, 0, epoch)
	before := r.Export()
	for _, keys := range [][]Key{nil, make([]Key, Max+1)} {
		if err := r.Replace(keys, epoch); err == nil {
			t.Errorf("%d keys are taken", len(keys))
		}
	}
	if !bytes.Equal(r.Export(), before) {
		t.Error("the keys have changed")
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	k := NewKey(epoch)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		got := fmt.Sprintf(verb, []Key{k})
		if strings.Contains(got, fmt.Sprint(k.Secret[0], " ", k.Secret[1])) || !strings.Contains(got, "ticket key from") {
			t.Errorf("%s: %s", verb, got)
		}
	}
}
