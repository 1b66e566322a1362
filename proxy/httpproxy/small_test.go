package httpproxy

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestBodiesOfAllSizesArriveWhole is about what a small body is, and about how much of a head fits in a buffer before it.
func TestBodiesOfAllSizesArriveWhole(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Pad", fmt.Sprint(len(r.Header.Get("Pad"))))
		_, _ = w.Write(body)
	}))
	defer server.Close()
	rig := newRig(t, nil, server.Listener.Addr().String())
	c := rig.dial()
	body := make([]byte, smallBody+1)
	for i := range body {
		body[i] = byte(rand.Uint32())
	}
	for _, pad := range []int{0, 3700, 3800, 3900, 4000, 9000} {
		for _, size := range []int{1, 100, 4000, 4096, 4097, smallBody - 1, smallBody, smallBody + 1} {
			c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: app\r\nPad: %s\r\nContent-Length: %d\r\n\r\n%s",
				strings.Repeat("p", pad), size, body[:size]))
			res, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Body)
			if err != nil || !bytes.Equal(got, body[:size]) || res.Header.Get("Pad") != fmt.Sprint(pad) {
				t.Fatalf("head with %d bytes of padding (%s arrived), body of %d bytes: got %d, %v", pad, res.Header.Get("Pad"), size, len(got), err)
			}
			if e := rig.exchange(); e.BytesIn != int64(size) || e.Class != "" {
				t.Fatalf("exchange %+v", e)
			}
		}
	}
}
