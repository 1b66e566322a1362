package upgrader

import (
	"net/http"
	"sync"
	"time"
)

// inbound knows of a connection that Serve serves whether anything of it has arrived that its reader has not asked for.
// crypto/tls and net/http both read ahead, so neither the socket alone nor what has been read of it tells; but a reader
// that comes back to the socket has used up all that it had.
type inbound struct {
	tls bool // what is read are TLS records

	mu      sync.Mutex
	asked   bool // a Read has come that has not returned data
	heard   bool // a Read has returned data since the last request was answered
	pipes   int  // for how many requests more the client is taken for one that pipelines
	head    [recordHead]byte
	have    int           // bytes of the head
	left    int           // bytes of the record
	changed chan struct{} // closed when asked may have changed; nil while nobody waits
}

// recordHead is the size of a TLS record's header, whose last two bytes are the length of what follows (RFC 8446,
// section 5.1).
const recordHead = 5

// pipesFor is for how many requests it is remembered that a client has pipelined.
const pipesFor = 16

// setState is told of every http.ConnState. A request that is there, when nothing has arrived since the one before it
// was answered, had come before.
func (in *inbound) setState(s http.ConnState) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch s {
	case http.StateIdle:
		in.heard = false
	case http.StateActive:
		if !in.heard {
			in.pipes = pipesFor
		} else if in.pipes > 0 {
			in.pipes--
		}
	}
}

// setPipelines notes what was found out otherwise.
func (in *inbound) setPipelines() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.pipes = pipesFor
}

func (in *inbound) pipelines() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.pipes > 0
}

// begin and end enclose a Read.
func (in *inbound) begin() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.asked = true
	in.tell()
}

func (in *inbound) end(b []byte) {
	if len(b) == 0 {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.asked, in.heard = false, true
	if in.tls {
		in.follow(b)
	}
	in.tell()
}

// tell wakes those who wait. It is called with mu held.
func (in *inbound) tell() {
	if in.changed != nil {
		close(in.changed)
		in.changed = nil
	}
}

// follow moves on in the records.
func (in *inbound) follow(b []byte) {
	for len(b) > 0 {
		if in.left == 0 {
			n := copy(in.head[in.have:], b)
			in.have, b = in.have+n, b[n:]
			if in.have == recordHead {
				in.have, in.left = 0, int(in.head[3])<<8|int(in.head[4])
			}
			continue
		}
		n := min(in.left, len(b))
		in.left, b = in.left-n, b[n:]
	}
}

// look returns what the reader does, and a channel that is closed when that may have changed.
func (in *inbound) look() (asked, midRecord bool, changed <-chan struct{}) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.changed == nil {
		in.changed = make(chan struct{})
	}
	return in.asked, in.have > 0 || in.left > 0, in.changed
}

// usedUp tells whether the reader asks for more, with nothing on its way to it in this process or in the kernel. A
// reader that has only just been started may take a moment to ask; one that does not has something to do.
func (c *TrackedConn) usedUp(moment time.Duration) bool {
	timer := time.NewTimer(moment)
	defer timer.Stop()
	for {
		asked, midRecord, changed := c.inbound.look()
		if asked {
			return !midRecord && !queued(c)
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		}
	}
}

// staysSilent tells whether the reader, which has asked, gets nothing for a while.
func (c *TrackedConn) staysSilent(while time.Duration) bool {
	timer := time.NewTimer(while)
	defer timer.Stop()
	for over := false; ; {
		asked, midRecord, changed := c.inbound.look()
		if !asked || midRecord {
			return false
		}
		if over {
			return !queued(c) // the reader may be slow to wake
		}
		select {
		case <-changed:
		case <-timer.C:
			over = true
		}
	}
}
