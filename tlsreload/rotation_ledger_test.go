//go:build linux || darwin

package tlsreload

import (
	"crypto/tls"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/testca"
)

// ledger knows which certificates a client may get. They are numbered in the order in which they are written. A client
// may get number n if
//
//   - the writing of n had begun before its handshake ended: who reads a file may have it before its writer knows;
//   - and n is no less than what Status had shown before it dialled, and no less than what any other client had got
//     whose handshake was over by then. So numbers never go back, and nobody gets what had been replaced already.
//
// Certificates that are not good are not in it: no client may get one.
type ledger struct {
	mu       sync.Mutex
	number   map[string]int // by serial
	written  []time.Time    // when the writing of each ended
	got      []time.Time    // when the first client had it
	newest   int            // that a client has got
	shown    int            // the newest that Status has shown
	served   int            // handshakes
	failures []error
	behind   int // handshakes that were due, and that the machine had no time for
}

func newLedger() *ledger { return &ledger{number: make(map[string]int)} }

// begin is called before leaf is written.
func (l *ledger) begin(leaf testca.Leaf) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number[serial(leaf.X509)] = len(l.written)
	l.written, l.got = append(l.written, time.Time{}), append(l.got, time.Time{})
}

// end is called when it is written.
func (l *ledger) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written[len(l.written)-1] = time.Now()
}

// floor is the least that a client may get who dials from now on.
func (l *ledger) floor(s Status) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok := l.number[s.Certificates[0].Serial]
	if !ok {
		return 0, fmt.Errorf("status shows serial %s, which was never good", s.Certificates[0].Serial)
	}
	// Another goroutine may have taken a newer status meanwhile, so this one may be older than shown.
	l.shown = max(l.shown, n)
	return max(l.shown, l.newest), nil
}

// judge takes down what a client got.
func (l *ledger) judge(state tls.ConnectionState, floor int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	leaf := state.PeerCertificates[0]
	n, ok := l.number[serial(leaf)]
	switch {
	case !ok:
		return fmt.Errorf("served serial %s, which was never good, or not yet written", serial(leaf))
	case n < floor:
		return fmt.Errorf("served certificate %d when %d had taken its place before the client dialled", n, floor)
	case len(state.PeerCertificates) != 2:
		return fmt.Errorf("served certificate %d with a chain of %d", n, len(state.PeerCertificates))
	}
	l.newest = max(l.newest, n)
	if l.got[n].IsZero() {
		l.got[n] = time.Now()
	}
	return nil
}

// count takes down how a handshake went.
func (l *ledger) count(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served++
	if err != nil {
		l.failures = append(l.failures, err)
	}
}

// lag is the time from the end of writing to the first handshake that got what was written, of the n that were got.
func (l *ledger) lag() (median, longest time.Duration, n int) {
	var all []time.Duration
	for i := 1; i < len(l.written); i++ {
		if !l.got[i].IsZero() {
			all = append(all, max(0, l.got[i].Sub(l.written[i])))
		}
	}
	if len(all) == 0 {
		return 0, 0, 0
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)-1], len(all)
}

func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	median, longest, seen := l.lag()
	handshakes := fmt.Sprintf("%d handshakes, %d failures, %d more were due", l.served, len(l.failures), l.behind)
	const precision = 100 * time.Microsecond
	return fmt.Sprintf("%s; %d rotations, %d seen by a client, after %v (median) to %v", handshakes,
		len(l.written)-1, seen, median.Round(precision), longest.Round(precision))
}
