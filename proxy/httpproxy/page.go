package httpproxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// retryAfter is how many seconds a client is asked to wait when no server can be picked.
const retryAfter = 5

// told is what a client reads. It names no server: that is for the log.
var told = map[Class]string{
	ConnectRefused:  "The server that should answer could not be reached.",
	ConnectFailed:   "The server that should answer could not be reached.",
	ConnectTimeout:  "The server that should answer could not be reached in time.",
	Reset:           "The server that should answer closed the connection.",
	Cut:             "The server that should answer stopped in the middle.",
	Malformed:       "The server that should answer said something that could not be understood.",
	ResponseTimeout: "The server that should answer took too long.",
	NoServer:        "No server is available now. Please try again in a moment.",
	Busy:            "All servers are busy now. Please try again in a moment.",
	NoRoute:         "Nothing is served under this address.",
	ClientTimeout:   "The request took too long to arrive.",
	TooLarge:        "The request is too large.",
	BadRequest:      "The request could not be understood.",
	Misdirected:     "This connection was made for another host. Please open a new one.",
	NotAllowed:      "This method is not allowed here.",
}

const page = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>%[1]d %[2]s</title>
<style>body{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:32em;padding:0 1em}h1{font-size:1.4em}</style>
</head><body><h1>%[1]d %[2]s</h1><p>%[3]s</p></body></html>
`

// writePage answers with an error, in the form that the client likes best of HTML, JSON and plain text.
func writePage(w http.ResponseWriter, r *http.Request, class Class) {
	status := class.status()
	title, text := http.StatusText(status), told[class]
	h := w.Header()
	switch accepted(r.Header["Accept"]) {
	case "text/html":
		h.Set("Content-Type", "text/html; charset=utf-8")
		text = fmt.Sprintf(page, status, title, text)
	case "application/json":
		h.Set("Content-Type", "application/json")
		b, _ := json.Marshal(map[string]any{"status": status, "error": title, "message": text, "class": class})
		text = string(b) + "\n"
	default:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		text = fmt.Sprintf("%d %s\n%s\n", status, title, text)
	}
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch {
	case status == http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	case status == http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE")
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}

// accepted returns the first of our types that an Accept field names with the greatest weight; plain text for the rest.
func accepted(accept []string) string {
	best, weight := "text/plain", 0.0
	for _, v := range accept {
		for entry := range strings.SplitSeq(v, ",") {
			kind, params, _ := strings.Cut(entry, ";")
			kind = strings.ToLower(strings.TrimSpace(kind))
			if kind != "text/html" && kind != "application/json" && kind != "text/plain" {
				continue
			}
			q := 1.0
			for p := range strings.SplitSeq(params, ";") {
				if value, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
					if parsed, err := strconv.ParseFloat(value, 64); err == nil {
						q = parsed
					}
				}
			}
			if q > weight {
				best, weight = kind, q
			}
		}
	}
	return best
}
