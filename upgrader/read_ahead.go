package upgrader

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"reflect"
	"sync"
	"time"
)

// net/http has no way to ask whether it has read on beyond a request, but for Hijack, which it does not come back from.
// So its buffer is looked at by reflection, which can read what is not exported, and cannot change it. What is relied on
// is checked once, in the program itself (readAhead) and in a test; without it responses say "Connection: close" as soon
// as they may.

// readBuffer is the way from a *http.response to the buffer that its request was read through.
type readBuffer struct {
	response          reflect.Type
	conn, bufr        []int // in http.response, and in http.conn
	data, from, until []int // in bufio.Reader
}

// readAhead is that of this Go release, or nil where it is not known. It takes part of a millisecond, once.
var readAhead = sync.OnceValue(func() *readBuffer { return checkReadAhead(findReadBuffer) })

func findReadBuffer(w http.ResponseWriter) *readBuffer {
	b := &readBuffer{response: reflect.TypeOf(w)}
	reader := reflect.TypeFor[*bufio.Reader]()
	conn := b.field(&b.conn, b.response, "conn", reflect.Pointer)
	if b.field(&b.bufr, conn, "bufr", reflect.Pointer) != reader ||
		b.field(&b.data, reader, "buf", reflect.Slice) != reflect.TypeFor[[]byte]() ||
		b.field(&b.from, reader, "r", reflect.Int) == nil || b.field(&b.until, reader, "w", reflect.Int) == nil {
		return nil
	}
	return b
}

// field finds a field of the struct that from points to, and returns its type, or nil.
func (*readBuffer) field(index *[]int, from reflect.Type, name string, kind reflect.Kind) reflect.Type {
	if from == nil || from.Kind() != reflect.Pointer || from.Elem().Kind() != reflect.Struct {
		return nil
	}
	f, ok := from.Elem().FieldByName(name)
	if !ok || f.Type.Kind() != kind {
		return nil
	}
	*index = f.Index
	return f.Type
}

// of returns what has been read beyond the part of the request that was consumed. It is net/http's memory: it may be
// looked at while nobody reads the request's body, and until the response is finished.
func (b *readBuffer) of(w http.ResponseWriter) (ahead []byte, ok bool) {
	v := reflect.ValueOf(w)
	if b == nil || v.Type() != b.response {
		return nil, false
	}
	r := v.Elem().FieldByIndex(b.conn).Elem().FieldByIndex(b.bufr).Elem()
	from, until, data := r.FieldByIndex(b.from).Int(), r.FieldByIndex(b.until).Int(), r.FieldByIndex(b.data).Bytes()
	if from < 0 || from > until || until > int64(len(data)) {
		return nil, false
	}
	return data[from:until], true
}

// checkReadAhead has net/http read a request with the beginning of another behind it.
func checkReadAhead(find func(http.ResponseWriter) *readBuffer) *readBuffer {
	const more = "GET /more"
	ours, theirs := net.Pipe()
	defer ours.Close()
	found := make(chan *readBuffer, 1)
	srv := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b := find(w)
			if before, _ := b.of(w); string(before) != "hello"+more {
				b = nil
			}
			_, _ = io.Copy(io.Discard, r.Body)
			if after, _ := b.of(w); string(after) != more {
				b = nil
			}
			found <- b
		}),
	}
	ln := newGiven(theirs.LocalAddr())
	go func() { _ = srv.Serve(ln) }()
	defer srv.Close()
	ln.conns <- theirs
	_ = ours.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(ours, "POST / HTTP/1.1\r\nHost: check\r\nContent-Length: 5\r\n\r\nhello"+more)
	select {
	case b := <-found:
		return b
	case <-time.After(time.Second):
		return nil
	}
}

// anyRequest tells whether b has more in it than the line ends that some clients send after the body of a POST.
func anyRequest(b []byte) bool { return len(bytes.TrimLeft(b, "\r\n")) > 0 }
