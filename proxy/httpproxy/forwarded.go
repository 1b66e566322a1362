package httpproxy

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// forwarding is what an upstream is told of where a request came from.
type forwarding struct {
	trusted  []netip.Prefix
	standard bool // RFC 7239's Forwarded too
	secure   bool
}

// origins is that for one request.
type origins struct {
	client   netip.Addr // whom the request is from, as far as trusted proxies know
	trusted  bool       // the peer may speak for others
	xFor     string
	proto    string
	host     string
	port     string
	standard string
}

func (f *forwarding) of(r *http.Request) origins {
	peer := peerAddr(r.RemoteAddr)
	o := origins{client: peer, trusted: f.trusts(peer), host: r.Host, proto: "http"}
	if f.secure {
		o.proto = "https"
	}
	o.port = portOf(r.Host, o.proto)
	if peer.IsValid() {
		o.xFor = peer.String()
	}
	if f.standard {
		o.standard = element(peer, o.proto, r.Host)
	}
	if !o.trusted {
		return o
	}
	o.client = f.client(peer, r.Header["X-Forwarded-For"])
	o.xFor = appended(r.Header["X-Forwarded-For"], o.xFor)
	o.standard = appended(r.Header["Forwarded"], o.standard)
	o.proto = first(r.Header["X-Forwarded-Proto"], o.proto)
	o.host = first(r.Header["X-Forwarded-Host"], o.host)
	o.port = first(r.Header["X-Forwarded-Port"], o.port)
	return o
}

func (f *forwarding) trusts(addr netip.Addr) bool {
	for _, p := range f.trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// client is the last in the list whom no trusted proxy spoke for.
func (f *forwarding) client(peer netip.Addr, list []string) netip.Addr {
	client := peer
	for i := len(list) - 1; i >= 0; i-- {
		entries := strings.Split(list[i], ",")
		for j := len(entries) - 1; j >= 0; j-- {
			addr, err := netip.ParseAddr(strings.TrimSpace(entries[j]))
			if err != nil {
				return client
			}
			client = addr.Unmap()
			if !f.trusts(client) {
				return client
			}
		}
	}
	return client
}

// each calls emit for the fields to send.
func (o *origins) each(emit func(name, value string)) {
	if o.xFor != "" {
		emit("X-Forwarded-For", o.xFor)
	}
	emit("X-Forwarded-Proto", o.proto)
	if o.host != "" {
		emit("X-Forwarded-Host", o.host)
	}
	emit("X-Forwarded-Port", o.port)
	if o.standard != "" {
		emit("Forwarded", o.standard)
	}
}

// replaces tells whether a field of the client's is dropped: those that are sent anew always, and from those who are
// not trusted everything that a server might take for word of a proxy. Some servers take _ for -, hence "unified".
func (o *origins) replaces(name string) bool {
	switch name {
	case "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded":
		return true
	}
	if len(name) < 7 || name[0] != 'X' && name[0] != 'F' {
		return false
	}
	unified := name
	if strings.IndexByte(name, '_') >= 0 {
		unified = strings.ReplaceAll(name, "_", "-")
	} else if o.trusted {
		return false
	}
	return hasPrefixFold(unified, "X-Forwarded") || strings.EqualFold(unified, "X-Real-Ip") ||
		strings.EqualFold(unified, "Forwarded") || strings.EqualFold(unified, "Forwarded-For")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// element is one proxy's word in RFC 7239's Forwarded.
func element(peer netip.Addr, proto, host string) string {
	var b strings.Builder
	b.WriteString("for=")
	switch {
	case !peer.IsValid():
		b.WriteString("unknown")
	case peer.Is6():
		b.WriteString(`"[` + peer.String() + `]"`)
	default:
		b.WriteString(peer.String())
	}
	if host != "" {
		b.WriteString(";host=")
		if strings.ContainsAny(host, ":[](),;=@/\\\"") {
			host = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(host) + `"`
		}
		b.WriteString(host)
	}
	b.WriteString(";proto=" + proto)
	return b.String()
}

func appended(prior []string, own string) string {
	if own != "" {
		prior = append(prior[:len(prior):len(prior)], own)
	}
	return strings.Join(prior, ", ")
}

func first(given []string, own string) string {
	if len(given) > 0 && given[0] != "" {
		return given[0]
	}
	return own
}

func peerAddr(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{} // a Unix socket
	}
	return ap.Addr().Unmap().WithZone("")
}

// portOf is the port that the client used: what stands in between may have mapped the listener's.
func portOf(host, proto string) string {
	if strings.IndexByte(host, ':') >= 0 {
		if _, port, err := net.SplitHostPort(host); err == nil && port != "" {
			return port
		}
	}
	if proto == "https" {
		return "443"
	}
	return "80"
}
