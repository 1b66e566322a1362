package httpproxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// outgoing is a request as it goes to a server, whichever that is.
type outgoing struct {
	in      *http.Request
	w       http.ResponseWriter
	method  string
	target  string // the request line's
	host    string
	origins origins
	drop    []string // what the client's Connection names
	upgrade string   // the protocol to change to; empty for none
	te      bool     // the client takes trailers
	expect  bool     // the client waits for 100 Continue before it sends the body
	body    *body    // nil where there is none

	small    []byte // the whole of a small body, which is not streamed
	hasSmall bool
	trailers []string // the names that the client announced, of those that are passed on
}

// newOutgoing checks what no server must see. Its error is the client's fault.
func newOutgoing(w http.ResponseWriter, r *http.Request, o origins) (*outgoing, error) {
	out := &outgoing{in: r, w: w, method: r.Method, target: r.URL.RequestURI(), host: r.Host, origins: o}
	if !httpguts.ValidHeaderFieldName(r.Method) {
		return nil, fmt.Errorf("method %q is none", r.Method)
	}
	if !isPrintable(out.target) {
		return nil, errors.New("target has a space or a control character")
	}
	absolute := (r.URL.Scheme == "http" || r.URL.Scheme == "https") && r.URL.Host != ""
	if out.target[0] != '/' && (out.target != "*" || r.Method != http.MethodOptions) || r.URL.Scheme != "" && !absolute {
		return nil, fmt.Errorf("target %q is neither a path nor a URL", r.RequestURI)
	}
	if !httpguts.ValidHostHeader(r.Host) {
		return nil, fmt.Errorf("host %q is none", r.Host)
	}
	for name, values := range r.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("field name %q is none", name)
		}
		for _, v := range values {
			if strings.IndexByte(v, '\n') >= 0 || strings.IndexByte(v, '\r') >= 0 || strings.IndexByte(v, 0) >= 0 {
				return nil, fmt.Errorf("field %s has a line end or a NUL", name)
			}
		}
	}
	out.drop = connectionNames(r.Header["Connection"])
	if te := r.Header["Te"]; len(te) > 0 {
		out.te = httpguts.HeaderValuesContainsToken(te, "trailers")
	}
	if r.ContentLength == 0 {
		for _, v := range r.Header["Content-Length"] { // x/net's server lets it pass where a stream has ended
			if n, err := strconv.ParseUint(v, 10, 63); err != nil || n > 0 {
				return nil, fmt.Errorf("content-length %q of no body", v)
			}
		}
		out.upgrade = upgradeOf(r, out.drop)
		return out, nil
	}
	for name := range r.Trailer {
		if !out.skips(name) {
			out.trailers = append(out.trailers, name)
		}
	}
	out.expect = httpguts.HeaderValuesContainsToken(r.Header["Expect"], "100-continue")
	return out, nil
}

// upgradeOf returns the protocol that a request without a body asks to change to. To h2c the proxy does not: the
// requests in such a tunnel would get round its routes and its limits.
func upgradeOf(r *http.Request, connection []string) string {
	protocol := r.Header.Get("Upgrade")
	if protocol == "" || r.ProtoMajor != 1 || r.ProtoMinor == 0 || !containsFold(connection, "upgrade") {
		return ""
	}
	for p := range strings.SplitSeq(protocol, ",") {
		if hasPrefixFold(textproto.TrimString(p), "h2c") {
			return ""
		}
	}
	return protocol
}

// connectionNames returns what Connection fields name.
func connectionNames(values []string) (names []string) {
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			name = textproto.TrimString(name)
			if name != "" && !strings.EqualFold(name, "keep-alive") && !strings.EqualFold(name, "close") {
				names = append(names, name)
			}
		}
	}
	return names
}

// skips tells whether a field of the client's is not passed on as it is.
func (out *outgoing) skips(name string) bool {
	switch name {
	case "Host", "Content-Length", "Expect", // written from the request's own fields
		"Proxy": // CGI programs take it for HTTP_PROXY
		return true
	}
	return isHop(name) || len(out.drop) > 0 && containsFold(out.drop, name) || out.origins.replaces(name)
}

// each calls emit for every field but those of the body.
func (out *outgoing) each(emit func(name, value string)) {
	for name, values := range out.in.Header {
		if out.skips(name) {
			continue
		}
		for _, v := range values {
			emit(name, v)
		}
	}
	out.origins.each(emit)
	if out.te {
		emit("Te", "trailers")
	}
	if out.expect {
		emit("Expect", "100-continue")
	}
}

// length is the body's, -1 where it is not known or trailers follow, as they do in chunks only.
func (out *outgoing) length() int64 {
	switch {
	case out.hasSmall:
		return int64(len(out.small))
	case out.body == nil:
		return 0
	case len(out.trailers) > 0:
		return -1
	}
	return out.in.ContentLength
}

// repeatable tells whether the request may be sent again after a server may have seen it (RFC 9110, section 9.2.2).
func (out *outgoing) repeatable() bool {
	if out.body != nil || out.upgrade != "" {
		return false
	}
	switch out.method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// isHop tells whether a field is for one connection only (RFC 9110, section 7.6.1). Proxy-Authorization is not: it is
// for the proxy that asks for it, which this one never does, and no server behind it should see it either.
func isHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return false
}

func containsFold(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}

// streams tells whether the body follows the head.
func (out *outgoing) streams() bool { return out.body != nil && !out.hasSmall }
