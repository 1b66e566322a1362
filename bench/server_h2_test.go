package bench

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Request is a request as an HTTP/2 server of these tests sees it.
type h2Request struct {
	op   int64
	id   string
	body string
	on   uint32 // the stream
	fr   *http2.Framer
	wire net.Conn // the TCP connection
	w    io.Writer
}

func (r h2Request) header(status string, last bool, fields ...string) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	enc.WriteField(hpack.HeaderField{Name: ":status", Value: status})
	for i := 0; i+1 < len(fields); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	r.fr.WriteHeaders(http2.HeadersFrameParam{
		StreamID: r.on, BlockFragment: block.Bytes(), EndStream: last, EndHeaders: true,
	})
}

// answer writes a whole right answer.
func (r h2Request) answer(fields ...string) { r.respond("200", r.body, fields...) }

func (r h2Request) respond(status, body string, fields ...string) {
	r.header(status, false, fields...)
	r.fr.WriteData(r.on, true, []byte(body))
}

// serveH2 hands each request to handle, which reports whether the connection goes on.
func serveH2(t *testing.T, secure bool, handle func(s *server, r h2Request) bool) *server {
	t.Helper()
	certificate := selfSigned(t).Clone()
	certificate.NextProtos = []string{"h2"}
	return serveEach(t, func(s *server, wire net.Conn, _ int) {
		c := wire
		if secure {
			c = tls.Server(wire, certificate)
		}
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c, preface); err != nil || string(preface) != http2.ClientPreface {
			return
		}
		fr := http2.NewFramer(c, c)
		fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		fr.WriteSettings()
		under := map[uint32]*h2Request{}
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				return
			}
			id := f.Header().StreamID
			ended := false
			switch f := f.(type) {
			case *http2.SettingsFrame:
				if !f.IsAck() {
					fr.WriteSettingsAck()
				}
			case *http2.MetaHeadersFrame:
				under[id] = &h2Request{on: id, fr: fr, wire: wire, w: c}
				for _, field := range f.Fields {
					if field.Name == strings.ToLower(idHeader) {
						under[id].id = field.Value
						parts := strings.Split(field.Value, "-")
						under[id].op, _ = strconv.ParseInt(parts[len(parts)-1], 10, 64)
					}
				}
				ended = f.StreamEnded()
			case *http2.DataFrame:
				under[id].body += string(f.Data())
				if f.Length > 0 {
					fr.WriteWindowUpdate(0, f.Length)
				}
				ended = f.StreamEnded()
			}
			if !ended {
				continue
			}
			r := under[id]
			delete(under, id)
			if !handle(s, *r) {
				return
			}
		}
	})
}

// goodHandler does all that lanes ask for: it echoes POSTs as they come, and WebSocket messages, and answers "ok".
func goodHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Baton-Generation", "1")
		w.Header().Set(idHeader, r.Header.Get(idHeader))
		if r.Header.Get("Upgrade") == "websocket" {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			defer c.Close()
			rw.WriteString(webSocketAnswer(r.Header.Get("Sec-WebSocket-Key")))
			rw.Flush()
			for {
				op, payload, err := readMasked(rw)
				if err != nil || op == opClose {
					return
				}
				c.Write(serverFrame(op, true, payload))
			}
		}
		if r.Method != http.MethodPost {
			io.WriteString(w, "ok")
			return
		}
		control := http.NewResponseController(w)
		control.EnableFullDuplex()
		buf := make([]byte, 1<<10)
		for {
			n, err := r.Body.Read(buf)
			w.Write(buf[:n])
			control.Flush()
			if err != nil {
				return
			}
		}
	})
}

// serveAll serves goodHandler by every protocol there is.
func serveAll(t *testing.T, secure bool, change ...func(*tls.Config)) HTTP {
	t.Helper()
	return serveHandler(t, secure, goodHandler(), change...)
}

func serveHandler(t *testing.T, secure bool, handler http.Handler, change ...func(*tls.Config)) HTTP {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols), TLSConfig: selfSigned(t).Clone()}
	server.ErrorLog = quietLog
	for _, c := range change {
		c(server.TLSConfig)
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan error)
	go func() {
		if secure {
			served <- server.ServeTLS(ln, "", "")
		} else {
			served <- server.Serve(ln)
		}
	}()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	target := HTTP{Addr: ln.Addr().String(), GenerationHeader: "Baton-Generation"}
	if secure {
		target.TLS = &tls.Config{ServerName: "127.0.0.1", InsecureSkipVerify: true}
	}
	return target
}
