package tlsreload

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"
)

// Attach has srv serve what is current, with HTTP/2 and HTTP/1.1; call it once all else of srv is set, and before srv
// serves, for instance by ListenAndServeTLS("", ""). It takes srv's TLSConfig, and wraps its ConnContext and Handler:
//
//   - connections on a certificate that was replaced end as Options.MaxAge and Revoke say: HTTP/1 with "Connection:
//     close" at their next response, HTTP/2 with GOAWAY;
//   - a request for a name other than that of the handshake, where Options.Hosts treats the two differently, is answered
//     with 421 Misdirected Request (RFC 9110, section 15.5.20), since its client was let in by other rules.
func (r *Reloader) Attach(srv *http.Server) {
	srv.TLSConfig = r.Config("h2", "http/1.1")
	connContext := srv.ConnContext
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, c)
		}
		return context.WithValue(ctx, connKey{}, new(connState))
	}
	next := srv.Handler
	if next == nil {
		next = http.DefaultServeMux
	}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.TLS != nil {
			if r.misdirected(req) {
				http.Error(w, "this connection was made for another host", http.StatusMisdirectedRequest)
				return
			}
			// Not on a request to change protocols: its response needs the header for that.
			if r.outlived(connOf(req.Context()), time.Now()) && req.Header.Get("Upgrade") == "" {
				w.Header().Set("Connection", "close")
			}
		}
		next.ServeHTTP(w, req)
	})
}

func (r *Reloader) misdirected(req *http.Request) bool {
	s := r.current.Load()
	if len(s.rules) == 0 {
		return false
	}
	host := req.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return s.domainOf(strings.TrimSuffix(host, ".")) != s.domainOf(req.TLS.ServerName)
}

// outlived tells whether a connection is to end because of what has become of its certificate.
func (r *Reloader) outlived(c *connState, now time.Time) bool {
	if c == nil {
		return false
	}
	id, made := c.certificate.Load(), c.made.Load()
	if made == nil {
		return false
	}
	if id == nil { // resumed: it may have begun with any certificate of before
		replaced := made.replaced.Load()
		return replaced != 0 && (made.generation < r.revokedBefore.Load() || r.tooOld(replaced, now))
	}
	replaced := id.fate.replaced.Load()
	return replaced != 0 && (id.fate.revoked.Load() || r.tooOld(replaced, now))
}

func (r *Reloader) tooOld(replaced int64, now time.Time) bool {
	return r.opts.MaxAge > 0 && now.Sub(time.Unix(0, replaced)) >= r.opts.MaxAge
}
