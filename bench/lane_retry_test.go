package bench

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestHiddenAsTransportHides asks http.Transport itself what a retrying client hides: it meets the same server with
// the same flaws. What it hides is marked, and nothing else.
func TestHiddenAsTransportHides(t *testing.T) {
	for name, flaw := range map[string]func(r request) bool{
		"EOF": func(request) bool { return false },
		"RST": func(r request) bool { hangUp(r.wire); return false },
		"half an answer": func(r request) bool {
			io.WriteString(r.w, r.response(200, r.right())[:40])
			return false
		},
	} {
		for _, asked := range []struct {
			method string
			header http.Header
		}{
			{http.MethodGet, nil},
			{http.MethodPost, nil},
			{http.MethodPut, nil},
			{http.MethodDelete, nil},
			{http.MethodOptions, nil},
			{http.MethodPost, http.Header{"Idempotency-Key": {"k"}}},
		} {
			for _, first := range []int64{1, 3} { // on a fresh connection, and on one that has answered
				t.Run(fmt.Sprint(name, " ", asked.method, asked.header, " ", first), func(t *testing.T) {
					var broken sync.Map // ids, so that what is sent again is answered
					s := serveHTTP(t, false, func(_ *server, r request) bool {
						if _, again := broken.LoadOrStore(r.Header.Get(idHeader), true); r.op == first && !again {
							return flaw(r)
						}
						r.answer()
						return true
					})
					at := s.target(false)
					at.Method, at.Header = asked.method, asked.header
					c := client(t, KeepAlive(at))
					var last Result
					for seq := int64(1); seq <= first; seq++ {
						last = c.Do(seq, time.Now().Add(ample))
						if (last.Class == OK) == (seq == first) {
							t.Fatalf("%d: %v", seq, last.Failure)
						}
					}
					if hides := transportHides(t, s.addr(), asked.method, asked.header, first); last.Hidden != hides {
						t.Errorf("%v: hidden %v; with http.Transport %v", last.Failure, last.Hidden, hides)
					}
				})
			}
		}
	}
}

func transportHides(t *testing.T, addr, method string, header http.Header, requests int64) bool {
	transport := &http.Transport{MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	var err error
	for seq := int64(1); seq <= requests; seq++ {
		var body io.Reader
		if method == http.MethodPost || method == http.MethodPut {
			body = strings.NewReader("body")
		}
		asked, wrong := http.NewRequest(method, "http://"+addr, body)
		if wrong != nil {
			t.Fatal(wrong)
		}
		for name, values := range header {
			asked.Header[name] = values
		}
		asked.Header.Set(idHeader, fmt.Sprintf("oracle-%d", seq))
		var resp *http.Response
		resp, err = transport.RoundTrip(asked)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		if err != nil && seq < requests {
			t.Fatal(err)
		}
	}
	return err == nil
}

// A server shows in several ways that a request has reached it twice.
func TestDuplicates(t *testing.T) {
	for _, twice := range []struct {
		name  string
		do    func(r request)
		class Class
	}{
		{"it counts", func(r request) { r.answer(seenHeader + ": 2") }, OK},
		{"two answers with the id", func(r request) {
			var b bytes.Buffer
			for range 2 {
				b.WriteString(r.response(200, "something", idHeader+": "+r.Header.Get(idHeader)))
			}
			r.w.Write(b.Bytes())
		}, WrongBytes},
		{"two echoes", func(r request) { io.WriteString(r.w, r.response(200, r.body)+r.response(200, r.body)) }, WrongBytes},
	} {
		t.Run(twice.name, func(t *testing.T) {
			s := serveHTTP(t, false, func(_ *server, r request) bool {
				if sometimes(r.op) {
					twice.do(r)
				} else {
					r.answer(seenHeader + ": 1")
				}
				return true
			})
			c := client(t, KeepAlive(s.target(false)))
			for seq := int64(1); seq <= operations; seq++ {
				r := c.Do(seq, time.Now().Add(ample))
				want := OK
				if sometimes(seq) {
					want = twice.class
				}
				if r.Class != want || r.Duplicate != sometimes(seq) {
					t.Errorf("%d: %v, duplicate %v", seq, r.Failure, r.Duplicate)
				}
			}
		})
	}
	t.Run("the answer before, again", func(t *testing.T) {
		var before atomic.Value
		before.Store("")
		s := serveHTTP(t, false, func(_ *server, r request) bool {
			id := r.Header.Get(idHeader)
			if r.op == 2 {
				r.answer(idHeader + ": " + before.Load().(string))
			} else {
				r.answer(idHeader + ": " + id)
			}
			before.Store(id)
			return true
		})
		c := client(t, KeepAlive(s.target(false)))
		if r := c.Do(1, time.Now().Add(ample)); r.Class != OK || r.Duplicate {
			t.Errorf("1: %v, duplicate %v", r.Failure, r.Duplicate)
		}
		if r := c.Do(2, time.Now().Add(ample)); r.Class != WrongBytes || !r.Duplicate {
			t.Errorf("2: %v, duplicate %v", r.Failure, r.Duplicate)
		}
	})
}
