package tlsreload

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

// What a handshake costs a server, beside one with a tls.Config that has its only certificate in itself: of-plain is how
// many handshakes it does in the time of one of those. Both take turns, so that they share whatever else the machine
// does.
func BenchmarkHandshake(b *testing.B) {
	leaf := testca.New(b, "ca").Issue(b, testca.Request{Names: []string{"0.test"}})
	r, err := New(b.Context(), Options{
		Sources: Static(leaf.TLS), Interval: time.Hour, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	beside(b, leaf.TLS, r.Config(), []string{"0.test"})
}

// A server of ten thousand certificates: handshakes beside those of a server with one, what a poll costs where nothing
// has changed and where one certificate has, and the memory that each takes.
func BenchmarkTenThousand(b *testing.B) {
	const n = 10_000
	ca := testca.New(b, "ca")
	dir := b.TempDir()
	files := &Files{}
	var names []string
	var leaf, other testca.Leaf
	for i := range n {
		name := fmt.Sprintf("%d.test", i)
		leaf = ca.Issue(b, testca.Request{Names: []string{name}})
		pair := FilePair{Cert: filepath.Join(dir, name+".crt"), Key: filepath.Join(dir, name+".key")}
		write(b, pair.Cert, leaf.Cert)
		write(b, pair.Key, leaf.Key)
		files.Certificates = append(files.Certificates, pair)
		names = append(names, name)
	}
	other = ca.Issue(b, testca.Request{Names: []string{names[0]}})
	before := heap()
	r, err := New(b.Context(), Options{
		Sources: []Source{unwatched{files}}, Interval: time.Hour, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	each := float64(heap()-before) / n

	beside(b, leaf.TLS, r.Config(), names)
	b.Run("poll", func(b *testing.B) {
		for b.Loop() {
			if err := r.Reload(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/1e3/float64(b.N), "ms/poll")
		b.ReportMetric(each, "B/certificate")
	})
	b.Run("change", func(b *testing.B) {
		first := files.Certificates[0]
		was, err := os.ReadFile(first.Cert)
		if err != nil {
			b.Fatal(err)
		}
		wasKey, err := os.ReadFile(first.Key)
		if err != nil {
			b.Fatal(err)
		}
		certs, keys := [][]byte{other.Cert, was}, [][]byte{other.Key, wasKey}
		i := 0
		for b.Loop() {
			write(b, first.Cert, certs[i%2])
			write(b, first.Key, keys[i%2])
			if err := r.Reload(b.Context()); err != nil {
				b.Fatal(err)
			}
			i++
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/1e3/float64(b.N), "ms/change")
	})
}

// unwatched is a Source that is only polled.
type unwatched struct{ Source }

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// beside measures handshakes for names, by turns, with a certificate alone and with what config has.
func beside(b *testing.B, alone tls.Certificate, config *tls.Config, names []string) {
	plain := &tls.Config{Certificates: []tls.Certificate{alone}}
	for _, resumed := range []bool{false, true} {
		b.Run(map[bool]string{false: "full", true: "resumed"}[resumed], func(b *testing.B) {
			sides := [2]side{{config: plain}, {config: config}}
			for i := range sides {
				sides[i].client = &tls.Config{InsecureSkipVerify: true, ClientSessionCache: &session{keep: resumed}}
				if resumed {
					sides[i].handshake(b, names[len(names)/2], false)
				}
			}
			sides[0].spent, sides[1].spent = nil, nil
			i := 0
			for b.Loop() {
				name := names[i%len(names)]
				// Who goes first pays for what the other left in the caches.
				sides[i%2].handshake(b, name, resumed)
				sides[1-i%2].handshake(b, name, resumed)
				i++
			}
			perSecond := func(s *side) float64 {
				slices.Sort(s.spent)
				return 1 / s.spent[len(s.spent)/2].Seconds()
			}
			b.ReportMetric(0, "ns/op") // of both, and of their clients
			b.ReportMetric(perSecond(&sides[0]), "plain/s")
			b.ReportMetric(perSecond(&sides[1]), "reloaded/s")
			b.ReportMetric(perSecond(&sides[1])/perSecond(&sides[0]), "of-plain")
			b.ReportMetric(garbage(b, &sides[1], names[0], resumed)-garbage(b, &sides[0], names[0], resumed), "more-B")
		})
	}
}

// garbage is the memory that a handshake takes, its client's included, in bytes. It is always of one name, since
// crypto/tls's clients remember the certificates that they have parsed.
func garbage(b *testing.B, s *side, name string, resumed bool) float64 {
	const handshakes = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range handshakes {
		s.handshake(b, name, resumed)
	}
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc-before.TotalAlloc) / handshakes
}

// session is a cache of one session, whatever the server. It always takes tickets, so that they are made.
type session struct {
	keep  bool
	state *tls.ClientSessionState
}

func (s *session) Get(string) (*tls.ClientSessionState, bool) { return s.state, s.state != nil }

func (s *session) Put(_ string, state *tls.ClientSessionState) {
	if s.keep && state != nil {
		s.state = state
	}
}

// side is a server under measurement, and the time that its half of each handshake took. What counts is their median:
// what else the machine does would hide the difference in a mean. It leaves out most of what garbage costs, and so
// more-B tells how much more of that a handshake makes than a plain one.
type side struct {
	config, client *tls.Config
	spent          []time.Duration
}

// handshake has the client run inside the server's Reads, as a coroutine: one thread does both, nobody waits for a
// scheduler, and the client's time can be told from the server's.
func (s *side) handshake(b *testing.B, name string, resumed bool) {
	toServer, toClient := new(bytes.Buffer), new(bytes.Buffer)
	var failed error
	clientConfig := s.client.Clone()
	clientConfig.ServerName = name
	next, stop := iter.Pull(func(pause func(struct{}) bool) {
		conn := &memory{in: toClient, out: toServer, wait: func() bool { return pause(struct{}{}) }}
		c := tls.Client(conn, clientConfig)
		_, err := c.Read(make([]byte, 1)) // and with it the session ticket
		failed = err
		if state := c.ConnectionState(); err == nil && state.DidResume != resumed {
			failed = fmt.Errorf("resumed: %t", state.DidResume)
		}
	})
	defer stop()
	var others time.Duration
	run := func() bool {
		begin := time.Now()
		_, alive := next()
		others += time.Since(begin)
		return alive
	}
	server := tls.Server(&memory{in: toServer, out: toClient, wait: run}, s.config)
	run() // the ClientHello
	begin, before := time.Now(), others
	err := server.Handshake()
	s.spent = append(s.spent, time.Since(begin)-(others-before))
	if err != nil {
		b.Fatal(errors.Join(err, failed))
	}
	if _, err := server.Write([]byte{'!'}); err != nil {
		b.Fatal(err)
	}
	run()
	if failed != nil {
		b.Fatal(failed)
	}
}

// memory is one end of a connection. Its Read has the other side run until there is something.
type memory struct {
	net.Conn // for the methods that nobody calls
	in, out  *bytes.Buffer
	wait     func() bool
}

func (m *memory) Read(p []byte) (int, error) {
	for m.in.Len() == 0 {
		if !m.wait() {
			if m.in.Len() > 0 {
				break
			}
			return 0, io.ErrUnexpectedEOF
		}
	}
	return m.in.Read(p)
}

func (m *memory) Write(p []byte) (int, error) { return m.out.Write(p) }

func (m *memory) Close() error { return nil }
