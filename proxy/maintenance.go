package proxy

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// maintenance is told that the mode is switched.
func (p *Proxy) maintenance(on bool) {
	r := p.running.Load()
	if r == nil { // the parent's mode, before there is anything to switch: adopt asks for it
		return
	}
	for _, l := range r.listeners {
		if l.stream != nil {
			l.stream.Pause(on && r.config.Maintenance.PauseTCP)
		}
	}
}

// maintenancePage answers every request in maintenance mode.
func (p *Proxy) maintenancePage(w http.ResponseWriter, r *http.Request) {
	if handler, ok := p.always.Load(r.Context().Value(http.ServerContextKey)); ok {
		handler.(http.Handler).ServeHTTP(w, r)
		return
	}
	now := p.running.Load()
	c := now.config.Maintenance
	w.Header().Set("Cache-Control", "no-store")
	if c.HealthPath != "" && r.URL.Path == c.HealthPath {
		w.WriteHeader(c.HealthCode)
		fmt.Fprintln(w, "maintenance")
		return
	}
	w.Header().Set("Retry-After", strconv.Itoa(int((c.RetryAfter+time.Second-1)/time.Second)))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusServiceUnavailable)
	page := now.page
	if page == nil {
		page = []byte("<!doctype html><title>Maintenance</title><h1>Down for maintenance</h1><p>Please try again in a moment.</p>\n")
	}
	_, _ = w.Write(page)
}
