package stream

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/seed-e3b9a99f/baton/proxy/config"
	"github.com/seed-e3b9a99f/baton/proxy/upstream"
)

// Settings are how connections are served. They are replaced as a whole.
type Settings struct {
	Listener  config.Listener
	TLS       *tls.Config          // what ends TLS here; nil where it does not
	Upstreams map[string]*Upstream // those that the listener and its routes name
}

// Upstream is where connections can go.
type Upstream struct {
	Pool   *upstream.Pool // stays the caller's to close
	Config config.Upstream
}

// route returns the upstream for a server name, which is empty where it is not known; nil refuses it.
func (s *Settings) route(sni string) *Upstream {
	name := s.Listener.Upstream
	for _, wanted := range []string{sni, above(sni)} {
		if wanted == "" {
			continue
		}
		for _, r := range s.Listener.Routes {
			for _, pattern := range r.SNI {
				if strings.EqualFold(pattern, wanted) {
					return s.Upstreams[r.Upstream]
				}
			}
		}
	}
	return s.Upstreams[name]
}

// above returns the pattern that covers name beside itself.
func above(name string) string {
	if _, parent, ok := strings.Cut(name, "."); ok {
		return "*." + parent
	}
	return ""
}

// expectsHeader tells whether a connection from addr has to begin with a PROXY header.
func (s *Settings) expectsHeader(addr netip.Addr) bool {
	if s.Listener.ProxyProtocol == nil {
		return false
	}
	for _, network := range s.Listener.ProxyProtocol.Trusted {
		if network.Contains(addr.Unmap().WithZone("")) { // a prefix contains no address with a zone
			return true
		}
	}
	return false
}

// Note is what a relay's next process has to know of it.
type Note struct {
	Listener string    `json:"l"`
	Upstream string    `json:"u"`
	Server   string    `json:"s"`
	Client   string    `json:"c,omitempty"`
	Protocol string    `json:"p,omitempty"` // what an HTTP connection was changed to
	SNI      string    `json:"n,omitempty"`
	Retries  int       `json:"r,omitempty"` // how many more servers were tried after the first
	Early    uint64    `json:"e,omitempty"` // bytes to the server before the relay began, which does not count them
	Begun    time.Time `json:"b"`
}

// Encode returns the note for a relay.
func (n Note) Encode() []byte {
	b, err := json.Marshal(n)
	if err != nil {
		panic(err) // it has strings and a time
	}
	return b
}

// ParseNote is the reverse of Encode.
func ParseNote(b []byte) (Note, error) {
	var n Note
	if err := json.Unmarshal(b, &n); err != nil {
		return Note{}, fmt.Errorf("what the parent says of a connection: %w", err)
	}
	return n, nil
}
