package httpproxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed-e3b9a99f/baton/proxy/config"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// recorder is a server that writes down every request, its body and its framing as they came, and answers 200.
type recorder struct {
	addr string
	mu   sync.Mutex
	seen []string
	head []string
}

func record(t *testing.T) *recorder {
	rec := &recorder{}
	rec.addr = rawServer(t, func(_ int, c *serverConn) {
		var raw bytes.Buffer
		c.r.Reset(io.TeeReader(c.TCPConn, &raw))
		for req := c.request(); req != nil; req = c.request() {
			body, _ := io.ReadAll(req.Body)
			head, _, _ := strings.Cut(raw.String(), "\r\n\r\n")
			raw.Reset()
			rec.mu.Lock()
			rec.seen = append(rec.seen, fmt.Sprintf("%s %s %s", req.Method, req.RequestURI, body))
			rec.head = append(rec.head, head)
			rec.mu.Unlock()
			c.say(ok)
		}
	})
	return rec
}

func (r *recorder) requests() (seen, heads []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen), slices.Clone(r.head)
}

// TestSmuggling: the server sees just those requests that the proxy saw, each in one framing, or the client gets 400.
func TestSmuggling(t *testing.T) {
	const next = "GET /next HTTP/1.1\r\nHost: test\r\n\r\n"
	post := func(fields, body string) string {
		return "POST /a HTTP/1.1\r\nHost: test\r\n" + fields + "\r\n\r\n" + body
	}
	refused := []string(nil)
	tests := []struct {
		name string
		raw  string
		want []string // what the server sees; nothing where the client gets 400
	}{
		{"CL and TE", post("Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\n"+next), []string{"POST /a ", "GET /next "}},
		{"TE and CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4", "3\r\nabc\r\n0\r\n\r\n"+next), []string{"POST /a abc", "GET /next "}},
		{"two lengths", post("Content-Length: 3\r\nContent-Length: 5", "abc"+next), refused},
		{"the same length twice", post("Content-Length: 3\r\nContent-Length: 3", "abc"+next), []string{"POST /a abc", "GET /next "}},
		{"a list of lengths", post("Content-Length: 3, 5", "abc"+next), refused},
		{"a length with a sign", post("Content-Length: +3", "abc"+next), refused},
		{"a negative length", post("Content-Length: -3", "abc"+next), refused},
		{"a length in hex", post("Content-Length: 0x3", "abc"+next), refused},
		{"a length with a space", post("Content-Length: 3 3", "abc"+next), refused},
		{"a huge length", post("Content-Length: 99999999999999999999", "abc"+next), refused},
		{"identity", post("Transfer-Encoding: identity", next), refused},
		{"chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"+next), refused},
		{"chunked in a list", post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"+next), refused},
		{"chunked, then identity", post("Transfer-Encoding: chunked, identity", "0\r\n\r\n"+next), refused},
		{"xchunked", post("Transfer-Encoding: xchunked", "0\r\n\r\n"+next), refused},
		{"chunked in quotes", post("Transfer-Encoding: \"chunked\"", "0\r\n\r\n"+next), refused},
		{"CHUNKED", post("Transfer-Encoding: CHUNKED", "0\r\n\r\n"+next), []string{"POST /a ", "GET /next "}},
		{"chunked after a vertical tab", post("Transfer-Encoding: \vchunked", "0\r\n\r\n"+next), refused},
		{"a space before the colon", post("Transfer-Encoding : chunked", "0\r\n\r\n"+next), refused},
		{"a tab before the colon", post("Content-Length\t: 3", "abc"+next), refused},
		{"a space before the name", post(" Transfer-Encoding: chunked", "0\r\n\r\n"+next), refused},
		{"a folded line", post("X: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 3", "abc"+next), []string{"POST /a abc", "GET /next "}},
		{"a NUL in a value", post("X: a\x00b\r\nContent-Length: 3", "abc"+next), refused},
		{"a NUL in a name", post("X\x00Y: b\r\nContent-Length: 3", "abc"+next), refused},
		{"a bare CR in a value", post("X: a\rTransfer-Encoding: chunked\r\nContent-Length: 3", "abc"+next), refused},
		{"bare LFs", strings.ReplaceAll(post("Content-Length: 3", "abc"+next), "\r\n", "\n"), []string{"POST /a abc", "GET /next "}},
		{"a bare LF in a chunk's length", post("Transfer-Encoding: chunked", "3\nabc\r\n0\r\n\r\n"+next), refused},
		{"a chunk's extension", post("Transfer-Encoding: chunked", "3;a=b\r\nabc\r\n0\r\n\r\n"+next), []string{"POST /a abc", "GET /next "}},
		{"a chunk that is longer than it says", post("Transfer-Encoding: chunked", "3\r\nabcd\r\n0\r\n\r\n"+next), refused},
		{"TE in HTTP/1.0", strings.Replace(post("Transfer-Encoding: chunked", "0\r\n\r\n"+next), "1.1", "1.0", 1), []string{"POST /a "}},
		{"no field name", post(": a\r\nContent-Length: 3", "abc"+next), refused},
		{"a line without colon", post("chunked\r\nContent-Length: 3", "abc"+next), refused},
		{"two hosts", post("Host: other\r\nContent-Length: 0", next), refused},
		{"no host", "GET /a HTTP/1.1\r\n\r\n" + next, refused},
		{"a host with a slash", "GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n" + next, refused},
		{"a space in the target", "GET /a b HTTP/1.1\r\nHost: test\r\n\r\n" + next, refused},
		{"a control character in the target", "GET /a\x01b HTTP/1.1\r\nHost: test\r\n\r\n" + next, refused},
		{"the length is said to be for one hop", post("Connection: Content-Length\r\nContent-Length: 3", "abc"+next), []string{"POST /a abc", "GET /next "}},
		{"the host is said to be for one hop", post("Connection: Host, X-Forwarded-For\r\nContent-Length: 3", "abc"+next), []string{"POST /a abc", "GET /next "}},
		{"an absolute target", "GET http://other/a HTTP/1.1\r\nHost: test\r\n\r\n" + next, []string{"GET /a ", "GET /next "}},
		{"a body of GET", "GET /a HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc" + next, []string{"GET /a abc", "GET /next "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := record(t)
			rig := newRig(t, nil, rec.addr)
			c := rig.dial().send(tt.raw)
			var statuses []int
			for range max(len(tt.want), 1) {
				res, _, _ := c.answer("GET")
				statuses = append(statuses, res.StatusCode)
			}
			seen, heads := rec.requests()
			if tt.want == nil {
				if statuses[0] != 400 && statuses[0] != 501 {
					t.Errorf("statuses %v", statuses)
				}
				if len(seen) > 0 {
					t.Errorf("the server saw %q", seen)
				}
				if rest, _ := io.ReadAll(c.r); strings.Contains(string(rest), "200 OK") {
					t.Errorf("and then %q", rest)
				}
				return
			}
			if !slices.Equal(seen, tt.want) {
				t.Errorf("the server saw %q, statuses %v", seen, statuses)
			}
			for _, head := range heads {
				lower := strings.ToLower(head)
				framings := strings.Count(lower, "\r\ncontent-length:") + strings.Count(lower, "\r\ntransfer-encoding:")
				if framings > 1 || strings.Count(lower, "\r\nhost:") != 1 || strings.Count(head, "\n") != strings.Count(head, "\r\n") {
					t.Errorf("the server saw\n%q", head)
				}
				if !strings.Contains(head, "\r\nX-Forwarded-For: 127.0.0.1") {
					t.Errorf("X-Forwarded-For is missing in\n%q", head)
				}
			}
		})
	}
}

// TestHTTP2Smuggling sends fields that would mean something else in HTTP/1.1.
func TestHTTP2Smuggling(t *testing.T) {
	tests := []struct {
		name   string
		fields []string
		safe   bool // it may pass, without the field
	}{
		{"CR LF in a value", []string{"x", "a\r\nTransfer-Encoding: chunked"}, false},
		{"LF in a value", []string{"x", "a\nb"}, false},
		{"NUL in a value", []string{"x", "a\x00b"}, false},
		{"CR LF in a name", []string{"x: a\r\ny", "b"}, false},
		{"a colon in a name", []string{"x: a", "b"}, false},
		{"a space in a name", []string{"x y", "b"}, false},
		{"transfer-encoding", []string{"transfer-encoding", "chunked"}, true},
		{"connection", []string{"connection", "x-secret"}, true},
		{"upgrade", []string{"upgrade", "websocket"}, true},
		{"CR LF in the path", []string{":path", "/ HTTP/1.1\r\nX: y\r\n\r\n"}, false},
		{"a space in the path", []string{":path", "/?a b HTTP/1.1"}, false},
		{"CR LF in the method", []string{":method", "GET / HTTP/1.1\r\nX: y\r\n\r\n"}, false},
		{"a space in the method", []string{":method", "GET /x"}, false},
		{"CR LF in the authority", []string{":authority", "test\r\nX: y"}, false},
		{"a space in the authority", []string{":authority", "test x"}, false},
		{"a wrong length", []string{"content-length", "5"}, false},
		{"two lengths", []string{"content-length", "0", "content-length", "5"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := record(t)
			rig := newRig(t, func(_ *config.Listener, up *config.Upstream, _ *Options) { up.MaxIdle = 8 }, rec.addr)
			status := rawHTTP2(t, rig, tt.fields)
			seen, heads := rec.requests()
			if len(seen) > 1 || len(seen) == 1 && !tt.safe {
				t.Errorf("status %s, the server saw %q", status, heads)
			}
			for _, head := range heads {
				lower := strings.ToLower(head)
				if strings.Contains(lower, "transfer-encoding") || strings.Contains(lower, "upgrade") || strings.Contains(lower, "\r\nconnection") {
					t.Errorf("the server saw %q", head)
				}
			}
		})
	}
}

// rawHTTP2 sends one request, which the client's library would refuse to, and returns its status or how it ended.
func rawHTTP2(t *testing.T, rig *rig, fields []string) string {
	t.Helper()
	c := rig.dial().send(http2.ClientPreface)
	fr := http2.NewFramer(c, c.r)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = fr.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	pseudo := [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "test"}, {":path", "/"}}
	var rest [][2]string
	for i := 0; i < len(fields); i += 2 {
		at := slices.IndexFunc(pseudo, func(f [2]string) bool { return f[0] == fields[i] })
		if at >= 0 {
			pseudo[at][1] = fields[i+1]
		} else {
			rest = append(rest, [2]string{fields[i], fields[i+1]})
		}
	}
	for _, f := range append(pseudo, rest...) {
		_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return err.Error()
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return f.ErrCode.String()
		case *http2.GoAwayFrame:
			return f.ErrCode.String()
		}
	}
}

// TestNewOutgoingTrustsNoServer: what net/http and x/net refuse today is refused here, too.
func TestNewOutgoingTrustsNoServer(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"method": func(r *http.Request) { r.Method = "GET /" },
		"host":   func(r *http.Request) { r.Host = "a b" },
		"query":  func(r *http.Request) { r.URL.RawQuery = "a b" },
		"name":   func(r *http.Request) { r.Header["X: y"] = []string{"a"} },
		"value":  func(r *http.Request) { r.Header["X"] = []string{"a\r\nb"} },
		"nul":    func(r *http.Request) { r.Header["X"] = []string{"a\x00b"} },
	} {
		r, _ := http.NewRequest("GET", "http://test/", nil)
		if _, err := newOutgoing(nil, r, origins{}); err != nil {
			t.Fatal(err)
		}
		change(r)
		if _, err := newOutgoing(nil, r, origins{}); err == nil {
			t.Errorf("%s was let through", name)
		}
	}
}
