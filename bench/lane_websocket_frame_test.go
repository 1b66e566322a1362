package bench

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"testing"
	"testing/iotest"
)

// FuzzReadFrame has the reader take a server's bytes for frames, and holds it to RFC 6455: it takes what the section on
// framing allows and nothing else, each frame is just the bytes that a server would have written for it, and it does
// not matter how the bytes arrive. The same bytes then go as a payload through both writers.
func FuzzReadFrame(f *testing.F) {
	for _, seed := range [][]byte{
		{}, {0x81}, {0x81, 0}, {0x01, 1, 'a', 0x89, 0, 0x80, 1, 'b'}, // in two pieces, with a ping between
		{0xc1, 0}, {0x83, 0}, {0x8b, 0}, {0x81, 0x80, 1, 2, 3, 4}, // reserved bits, opcodes; masked
		{0x09, 0}, {0x89, 126, 0, 126}, {0x88, 1, 3}, {0x88, 2, 3, 232}, // control frames
		{0x82, 126, 0, 125}, {0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, // lengths that take too many bytes
		{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 1}, {0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, // far too long
		serverFrame(opBinary, true, make([]byte, 126)),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole := bufio.NewReader(bytes.NewReader(stream))
		trickle := bufio.NewReader(iotest.OneByteReader(bytes.NewReader(stream)))
		for rest := stream; ; {
			got, loss := readFrame(whole)
			again, lossAgain := readFrame(trickle)
			size, want := legalFrame(rest)
			if class(loss) != want || class(lossAgain) != want {
				t.Fatalf("% x: %v, and %v byte by byte; want %q", clip(rest), loss, lossAgain, want)
			}
			if want != OK {
				break
			}
			written := serverFrame(got.op, got.final, got.payload)
			if !bytes.Equal(written, rest[:size]) || !bytes.Equal(written, serverFrame(again.op, again.final, again.payload)) {
				t.Fatalf("% x is read as %+v, and as %+v byte by byte", clip(rest), got, again)
			}
			rest = rest[size:]
		}
		comesBack(t, stream)
	})
}

// A frame may have as many bytes as the bench compares, and not one more. Fuzzing would hardly come upon that.
func TestFrameLengths(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 0xffff, maxCompared, maxCompared + 1} {
		comesBack(t, bytes.Repeat([]byte{0xa5, 0, 1}, n/3+1)[:n])
	}
}

// comesBack has a payload written by a server, and by the lane's client.
func comesBack(t *testing.T, payload []byte) {
	t.Helper()
	frame := serverFrame(opBinary, true, payload)
	got, loss := readFrame(bufio.NewReader(bytes.NewReader(frame)))
	switch _, want := legalFrame(frame); {
	case class(loss) != want:
		t.Fatalf("a frame of %d bytes: %v, want %q", len(payload), loss, want)
	case want == OK && (!bytes.Equal(got.payload, payload) || got.op != opBinary || !got.final):
		t.Fatalf("%q comes as %+v", clip(payload), got)
	}
	for _, cut := range []int{0, 1, len(frame) / 2, len(frame) - 1} {
		_, want := legalFrame(frame[:cut])
		if _, loss := readFrame(bufio.NewReader(bytes.NewReader(frame[:cut]))); class(loss) != want {
			t.Fatalf("%d of the %d bytes of a frame: %v, want %q", cut, len(frame), loss, want)
		}
	}

	masked := appendFrame(nil, opText, payload)
	in := bytes.NewReader(masked)
	if op, unmasked, err := readMasked(in); err != nil || op != opText || !bytes.Equal(unmasked, payload) || in.Len() > 0 {
		t.Fatalf("a client's %q arrives as %q of kind %d, with %d bytes more: %v",
			clip(payload), clip(unmasked), op, in.Len(), err)
	}
	if want := len(frame) + 4; len(masked) != want {
		t.Fatalf("a client's frame of %d bytes, want %d: a server's and the mask", len(masked), want)
	}
	if _, loss := readFrame(bufio.NewReader(bytes.NewReader(masked))); class(loss) != WrongBytes {
		t.Fatalf("a masked frame: %v", loss)
	}
}

func class(loss *lossError) Class {
	if loss == nil {
		return OK
	}
	return loss.Class
}

// legalFrame is section 5 of RFC 6455, as a table would have it, for the frame that b begins with: how long it is, and
// what the reader must make of it. It has all the bytes there are, so it need not care in which order they come, except
// that what is wrong with the first two is wrong at once.
func legalFrame(b []byte) (size int, want Class) {
	head := append(bytes.Clone(b[:min(len(b), 10)]), make([]byte, 10)...)
	op, control, length := head[0]&15, head[0]&8 != 0, uint64(head[1]&127)
	ext := 0
	switch length {
	case 126:
		ext, length = 2, uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		ext, length = 8, binary.BigEndian.Uint64(head[2:])
	}
	known := map[byte]bool{0: true, 1: true, 2: true, 8: true, 9: true, 10: true}
	switch {
	case len(b) < 2:
		return 0, EOFMidResponse
	case head[0]&0x70 != 0, head[1]&0x80 != 0, !known[op]: // 5.2
		return 0, WrongBytes
	case control && (head[0]&0x80 == 0 || ext > 0): // 5.5
		return 0, WrongBytes
	case op == 8 && length == 1: // 5.5.1: two bytes of code, or none
		return 0, WrongBytes
	case len(b) < 2+ext:
		return 0, EOFMidResponse
	case ext == 2 && length < 126, ext == 8 && length < 1<<16: // 5.2: the minimal number of bytes
		return 0, WrongBytes
	case length > maxCompared: // the bench's own
		return 0, WrongBytes
	case uint64(len(b)) < 2+uint64(ext)+length:
		return 0, EOFMidResponse
	}
	return 2 + ext + int(length), OK
}
