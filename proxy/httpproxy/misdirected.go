package httpproxy

import (
	"net/http"
	"strings"

	"github.com/seed-e3b9a99f/baton/proxy/config"
)

// tlsTerms knows for which names a listener has other TLS terms, such as another client CA. A request for such a name on
// a connection that was made for another would get round them: RFC 9110, section 15.5.20, answers 421.
type tlsTerms []config.TLSHost

func newTLSTerms(l config.Listener) tlsTerms {
	if l.TLS == nil {
		return nil
	}
	return l.TLS.Hosts
}

func (t tlsTerms) misdirected(r *http.Request) bool {
	if len(t) == 0 || r.TLS == nil {
		return false
	}
	host, name := hostname(r.Host), hostname(r.TLS.ServerName)
	if host == name {
		return false
	}
	// Whether a star stands for one label or for several is for those who choose the terms. Here both must agree.
	return t.of(host, false) != t.of(name, false) || t.of(host, true) != t.of(name, true)
}

// of returns the number of a name's terms; -1 for the listener's own.
func (t tlsTerms) of(name string, deep bool) int {
	found, length := -1, 0
	for i, terms := range t {
		for _, pattern := range terms.Names {
			pattern = strings.ToLower(pattern)
			if pattern == name {
				return i
			}
			suffix, ok := strings.CutPrefix(pattern, "*")
			if !ok || len(suffix) <= length {
				continue
			}
			label, ok := strings.CutSuffix(name, suffix)
			if ok && label != "" && (deep || !strings.Contains(label, ".")) {
				found, length = i, len(suffix)
			}
		}
	}
	return found
}
