package upgrader

import (
	"bufio"
	"encoding/binary"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// Where records end is known, however they are cut.
func TestInboundFollowsRecords(t *testing.T) {
	t.Parallel()
	var text []byte
	ends := map[int]bool{0: true}
	for _, n := range []int{0, 1, 5, 300, 2} {
		text = append(binary.BigEndian.AppendUint16(append(text, 23, 3, 3), uint16(n)), make([]byte, n)...)
		ends[len(text)] = true
	}
	for cut := range len(text) {
		in := inbound{tls: true}
		for _, piece := range [][]byte{text[:cut], text[cut:]} {
			in.end(piece)
			at := cut
			if &piece[:1][0] != &text[0] {
				at = len(text)
			}
			if _, mid, _ := in.look(); mid == ends[at] {
				t.Fatalf("cut at %d, at %d: in the middle of a record: %v", cut, at, mid)
			}
		}
	}
}

// A reader that has something to do does not ask for more.
func TestInboundUsedUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &TrackedConn{Conn: connWithoutSocket{}, inbound: new(inbound)}
		in := c.inbound
		if c.usedUp(time.Second) || c.staysSilent(time.Second) {
			t.Error("used up before anybody has asked")
		}
		time.AfterFunc(time.Second, in.begin)
		if !c.usedUp(2 * time.Second) {
			t.Error("not used up though the reader came to ask")
		}
		start := time.Now()
		if !c.staysSilent(time.Minute) || time.Since(start) != time.Minute {
			t.Errorf("not silent, after %v", time.Since(start))
		}
		in.end(nil) // interrupted
		if !c.usedUp(time.Second) {
			t.Error("not used up though nothing has come")
		}
		in.begin()
		time.AfterFunc(time.Second, func() { in.end([]byte("GET")) })
		if start := time.Now(); c.staysSilent(time.Minute) || time.Since(start) != time.Second {
			t.Errorf("silent though something came, after %v", time.Since(start))
		}
		in.tls = true
		in.begin()
		in.end([]byte{23})
		in.begin()
		if c.usedUp(time.Second) {
			t.Error("used up in the middle of a record")
		}
	})
}

type connWithoutSocket struct{ *bareConn }

// What the kernel has, and the reader has not come to, has arrived.
func TestInboundLooksIntoTheKernel(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	c := &TrackedConn{Conn: accepted, inbound: new(inbound)}
	c.inbound.begin()
	if !c.usedUp(time.Second) || !c.staysSilent(time.Millisecond) {
		t.Error("something has arrived before it was sent")
	}
	write(t, client, "G")
	for deadline := time.Now().Add(10 * time.Second); c.usedUp(time.Second) || c.staysSilent(time.Millisecond); {
		if time.Now().After(deadline) {
			t.Fatal("what was sent has not arrived")
		}
	}
}

// Who pipelines is found out while there is time, and forgotten where it was an accident.
func TestPipeliningIsNoticed(t *testing.T) {
	t.Parallel()
	r := newRing(t, func(generation int) *http.Server { return &http.Server{Handler: tellGeneration(generation)} })
	c := r.dial()
	b := bufio.NewReader(c)
	pipelines := func() bool {
		r.rest(c)
		h := r.gens[0].u.servers.all[r.gens[0].srv]
		h.mu.Lock()
		defer h.mu.Unlock()
		for m := range h.conns {
			return m.inbound.pipelines()
		}
		t.Fatal("no connection")
		return false
	}
	ask(t, c, b)
	if pipelines() {
		t.Error("one request is taken for several")
	}
	write(t, c, getRequest+getRequest)
	for range 2 {
		resp, err := http.ReadResponse(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if !pipelines() {
		t.Error("two requests at once went unnoticed")
	}
	for range pipesFor {
		r.rest(c)
		ask(t, c, b)
	}
	if pipelines() {
		t.Error("it is not forgotten")
	}
}

func TestReadAhead(t *testing.T) {
	t.Parallel()
	if readAhead() == nil {
		t.Error("what net/http has read ahead cannot be seen with this release of Go")
	}
	if checkReadAhead(func(http.ResponseWriter) *readBuffer { return nil }) != nil {
		t.Error("nothing is taken for something")
	}
	if checkReadAhead(func(w http.ResponseWriter) *readBuffer {
		b := findReadBuffer(w)
		b.from = b.until
		return b
	}) != nil {
		t.Error("the wrong field does")
	}
	if _, ok := readAhead().of(httptest.NewRecorder()); ok {
		t.Error("what is not net/http's response has a buffer")
	}
}

// Where nobody knows what has arrived, the response says close.
func TestLastResponseInDoubt(t *testing.T) {
	t.Parallel()
	u := &Upgrader{exit: closedChannel, drainEnds: time.Now().Add(time.Hour)}
	h := u.lastResponses(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for path, want := range map[string]string{"HTTP/1.1": "close", "HTTP/2.0": ""} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		r.ProtoMajor = int(path[5] - '0')
		h.ServeHTTP(w, r)
		if got := w.Header().Get("Connection"); got != want {
			t.Errorf("%s: Connection: %q, want %q", path, got, want)
		}
	}
}

// Once the program has the connection, or has changed the protocol, there is nothing to decide. What it says before the
// response settles nothing.
func TestLastResponseThatIsNone(t *testing.T) {
	t.Parallel()
	w := &lastResponse{fullResponse: mute{}}
	w.WriteHeader(http.StatusEarlyHints)
	if w.decided {
		t.Error("early hints have settled it")
	}
	w.WriteHeader(http.StatusSwitchingProtocols)
	w.decide()
	w = &lastResponse{fullResponse: mute{}}
	_, _, _ = w.Hijack()
	w.decide() // which would ask for what it does not have
}

type mute struct{ fullResponse }

func (mute) WriteHeader(int)                              {}
func (mute) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, nil }
