package control

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
)

// rawFrame is a frame as another release, or a broken one, may send it.
func rawFrame(change func(header []byte), payload string) []byte {
	frame := appendHeader(nil, Message{Kind: Hello, Seq: 7, Payload: []byte(payload)})
	if change != nil {
		change(frame)
	}
	return append(frame, payload...)
}

func claimPayload(n uint32) func([]byte) {
	return func(h []byte) { binary.BigEndian.PutUint32(h[12:], n) }
}

func claimFiles(n uint16) func([]byte) {
	return func(h []byte) { binary.BigEndian.PutUint16(h[6:], n) }
}

func version(major, minor byte) func([]byte) {
	return func(h []byte) { h[2], h[3] = major, minor }
}

func TestHeader(t *testing.T) {
	want := header{kind: Parcel, more: true, seq: math.MaxUint32, payload: 3}
	got, err := parseHeader(appendHeader(nil, Message{Kind: Parcel, More: true, Seq: math.MaxUint32, Payload: []byte("abc")}))
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestMalformedHeader(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":           {},
		"short":             rawFrame(nil, "")[:headerSize-1],
		"magic":             rawFrame(func(h []byte) { h[0] = 'x' }, ""),
		"magic's end":       rawFrame(func(h []byte) { h[1] = 'x' }, ""),
		"too many fds":      rawFrame(claimFiles(MaxFiles+1), ""),
		"payload":           rawFrame(claimPayload(MaxPayload+1), ""),
		"negative payload":  rawFrame(claimPayload(1<<31), ""), // as an int of 32 bits
		"payload of -16":    rawFrame(claimPayload(math.MaxUint32-15), ""),
		"largest payload":   rawFrame(claimPayload(math.MaxUint32), ""),
		"another's version": []byte("GET / HTTP/1.1\r\n"),
	} {
		if h, err := parseHeader(b); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}

func TestOtherMajor(t *testing.T) {
	_, err := parseHeader(rawFrame(version(Major+1, 3), ""))
	var version *VersionError
	if !errors.As(err, &version) || version.Major != Major+1 || version.Minor != 3 {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(err.Error(), "protocol 2.3, this one 1.0") {
		t.Error(err)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(rawFrame(nil, "{}"))
	f.Add(rawFrame(version(Major+1, 0), ""))
	f.Add(rawFrame(version(Major, Minor+1), ""))
	f.Add(rawFrame(claimPayload(1<<31), ""))
	f.Add(rawFrame(claimFiles(MaxFiles+1), ""))
	f.Add(rawFrame(nil, "")[:headerSize-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeader(b)
		if err != nil {
			var version *VersionError
			if !errors.Is(err, ErrFrame) && !errors.As(err, &version) {
				t.Errorf("unknown error %v", err)
			}
			return
		}
		if h.files < 0 || h.files > MaxFiles || h.payload < 0 || h.payload > MaxPayload {
			t.Errorf("took %+v", h)
		}
		again := appendHeader(nil, Message{Kind: h.kind, More: h.more, Seq: h.seq, Payload: make([]byte, h.payload)})
		copy(again[6:8], b[6:8])                           // the fds are no bytes
		again[3], again[5] = b[3], again[5]|b[5]&^flagMore // a newer minor version, its flags
		if !bytes.Equal(again, b[:headerSize]) {
			t.Errorf("%x came back as %x", b[:headerSize], again)
		}
	})
}
