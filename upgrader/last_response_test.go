package upgrader

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// talk has a process that drains answer what arrives on a connection that cannot move, and returns which of the answers
// end the connection.
func talk(t *testing.T, drainEnds time.Duration, sent ...string) (closes []bool) {
	t.Helper()
	u := &Upgrader{opts: Options{DrainTimeout: 10 * time.Second}, exit: make(chan struct{}), drainEnds: time.Now().Add(drainEnds)}
	close(u.exit)
	ours, theirs := net.Pipe()
	defer ours.Close()
	srv := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: u.lastResponses(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Path", r.URL.Path)
			_, _ = io.Copy(w, r.Body)
		}))}
	ln := newGiven(theirs.LocalAddr())
	go func() { _ = srv.Serve(ln) }()
	defer srv.Close()
	ln.conns <- theirs
	_ = ours.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		for _, text := range sent { // a pipe keeps writes apart
			_, _ = io.WriteString(ours, text)
		}
	}()
	for r := bufio.NewReader(ours); ; {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", len(closes)+1, err)
		}
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Fatalf("answer %d: %v", len(closes)+1, err)
		}
		if want := fmt.Sprint("/", len(closes)); resp.Header.Get("Path") != want {
			t.Errorf("answer to %s, want %s", resp.Header.Get("Path"), want)
		}
		closes = append(closes, resp.Close)
		if resp.Close {
			return closes
		}
	}
}

// Of requests that have been read together, the last one's answer ends the connection.
func TestPipelinedRequestsAreAnswered(t *testing.T) {
	get := func(n int) string { return fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: test\r\n\r\n", n) }
	post := func(n int) string {
		return fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello", n)
	}
	chunked := func(n int) string {
		return fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", n)
	}
	var many strings.Builder
	for i := range 50 {
		many.WriteString(get(i))
	}
	for name, c := range map[string]struct {
		ends    time.Duration
		sent    []string
		answers int
	}{
		"one":                          {time.Minute, []string{get(0)}, 1},
		"three":                        {time.Minute, []string{get(0) + get(1) + get(2)}, 3},
		"many":                         {time.Minute, []string{many.String()}, 50},
		"bodies":                       {time.Minute, []string{post(0) + post(1) + get(2)}, 3},
		"the beginning of another":     {time.Minute, []string{get(0) + get(1)[:7], get(1)[7:]}, 2},
		"line ends behind a body":      {time.Minute, []string{post(0) + "\r\n"}, 1},
		"a body that is still to come": {time.Minute, []string{post(0)[:len(post(0))-2], "lo"}, 1},
		"chunks, whose end is unknown": {time.Minute, []string{chunked(0) + get(1)}, 1},
		"little left of the drain":     {time.Second / 2, []string{get(0) + get(1) + get(2)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			want := make([]bool, c.answers)
			want[c.answers-1] = true
			if got := talk(t, c.ends, c.sent...); !slices.Equal(got, want) {
				t.Errorf("which end the connection: %v, want %v", got, want)
			}
		})
	}
}

// If net/http changes, what it has read ahead is not known, and every response is the last.
func TestReadAheadIsKnown(t *testing.T) {
	if readAhead() == nil {
		t.Error("it is not known where net/http of this Go release keeps what it has read ahead")
	}
	if checkReadAhead(func(http.ResponseWriter) *readBuffer { return nil }) != nil {
		t.Error("something else passes the check")
	}
	if ahead, ok := readAhead().of(struct{ http.ResponseWriter }{}); ok {
		t.Errorf("%q ahead of a wrapped response", ahead)
	}
}
