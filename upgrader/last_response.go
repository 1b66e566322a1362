package upgrader

import (
	"net/http"
	"time"
)

// lastResponses lets HTTP/1 connections that cannot move end with their next response once this process is to end, and
// answers for the program in maintenance mode.
func (u *Upgrader) lastResponses(next http.Handler) http.Handler {
	page := u.opts.MaintenancePage
	if page == nil {
		page = maintenancePage
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-u.exit:
			if u.mayEndWith(w, r) {
				w.Header().Set("Connection", "close")
			}
		default:
		}
		if u.Maintenance() {
			page.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// mayEndWith tells whether the response to r may be its connection's last. Requests that were pipelined behind one that
// says so go unanswered (RFC 9112, section 9.6), and a client that does not send twice has lost them. So it is not the
// last if net/http has already read more than this request, unless little is left of the drain: a client that never
// pauses has to be told as well. What arrives later can be lost.
func (u *Upgrader) mayEndWith(w http.ResponseWriter, r *http.Request) bool {
	if r.ProtoMajor != 1 || r.Header.Get("Upgrade") != "" { // a change of protocols needs the header for that
		return false
	}
	if c, ok := r.Context().Value(connKey{}).(*movableConn); ok && c.willMove() {
		return false
	}
	return u.drainEndsSoon() || !isPipelinedBehind(w, r)
}

// isPipelinedBehind tells whether another request, or its beginning, is known to lie behind r, whose body nobody has
// read yet.
func isPipelinedBehind(w http.ResponseWriter, r *http.Request) bool {
	ahead, ok := readAhead().of(w)
	if !ok || r.ContentLength < 0 || int64(len(ahead)) < r.ContentLength {
		return false // unknown, or the body's end is still to come
	}
	return anyRequest(ahead[r.ContentLength:])
}

// drainEndsSoon tells whether only the last tenth of a drain is left.
func (u *Upgrader) drainEndsSoon() bool { return time.Until(u.drainEnds) < u.opts.DrainTimeout/10 }
