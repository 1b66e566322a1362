package httpproxy

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
)

// writeHead writes a request's head for an HTTP/1.1 server. An error of w is kept by it, and shows when it is flushed.
func writeHead(w *bufio.Writer, out *outgoing, server string) {
	field := func(name, value string) {
		_, _ = w.WriteString(name)
		_, _ = w.WriteString(": ")
		_, _ = w.WriteString(value)
		_, _ = w.WriteString("\r\n")
	}
	_, _ = w.WriteString(out.method)
	_ = w.WriteByte(' ')
	_, _ = w.WriteString(out.target)
	_, _ = w.WriteString(" HTTP/1.1\r\n")
	host := out.host
	if host == "" { // HTTP/1.0 has none
		host = server
	}
	field("Host", host)
	out.each(field)
	if out.upgrade != "" {
		field("Connection", "Upgrade")
		field("Upgrade", out.upgrade)
	}
	switch n := out.length(); {
	case n > 0:
		field("Content-Length", strconv.FormatInt(n, 10))
	case n < 0:
		field("Transfer-Encoding", "chunked")
		if len(out.trailers) > 0 {
			field("Trailer", strings.Join(out.trailers, ", "))
		}
	case saysEmpty(out):
		field("Content-Length", "0")
	}
	_, _ = w.WriteString("\r\n")
}

// saysEmpty tells whether a request without a body says so (RFC 9110, section 8.6).
func saysEmpty(out *outgoing) bool {
	switch out.method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return true
	}
	return len(out.in.Header["Content-Length"]) > 0
}
