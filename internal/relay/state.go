package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
)

var (
	// ErrVersion is returned for a State that another version of this package wrote.
	ErrVersion = errors.New("relay: unknown state version")
	// ErrMalformed is returned for a State that makes no sense.
	ErrMalformed = errors.New("relay: malformed state")
)

// A State is a relay between two engines: Export makes it, Import goes on from it.
type State struct {
	// Files are the sockets, the client's first, and then a pipe's read end for each direction with stuck bytes.
	// Their order and number belong to Blob.
	Files []*os.File
	// Blob is the rest, in a versioned form: under 100 bytes, plus what waited in memory for want of a pipe (at most
	// 32 KiB a direction).
	Blob []byte
}

// Close closes st.Files.
func (st State) Close() error {
	var errs []error
	for _, f := range st.Files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

const (
	blobMagic   = "brly"
	blobVersion = 1

	// maxStash bounds the bytes of one direction that wait in memory: one read of the loop's buffer.
	maxStash = 32 << 10
	// maxHeld bounds the bytes said to be in a pipe. A real pipe holds far less.
	maxHeld = 1 << 30
)

// kind is also the number of sockets.
type kind uint8

const (
	kindEcho  kind = 1
	kindRelay kind = 2
)

// blob is what State.Blob says. A flow's index is its source: 0 from the client, 1 from the upstream.
type blob struct {
	kind  kind
	since time.Time
	idle  time.Duration // since the last byte
	flows []flowBlob
}

type flowBlob struct {
	eof      bool // the source has ended its stream
	finished bool // and the destination was told
	moved    uint64
	held     uint32 // bytes in the pipe; there is a pipe if not 0
	stash    []byte // bytes that follow those in the pipe
}

const (
	flagEOF = 1 << iota
	flagFinished
	flagsKnown = flagEOF | flagFinished
)

// files returns how many files belong to b.
func (b *blob) files() int {
	n := int(b.kind)
	for _, f := range b.flows {
		if f.held > 0 {
			n++
		}
	}
	return n
}

// append appends b's encoding: magic, version, kind, since and idle in nanoseconds, and per flow its flags, moved,
// held, and the stash after its length; all numbers big-endian.
func (b *blob) append(to []byte) []byte {
	to = append(to, blobMagic...)
	to = append(to, blobVersion, byte(b.kind))
	to = binary.BigEndian.AppendUint64(to, uint64(b.since.UnixNano()))
	to = binary.BigEndian.AppendUint64(to, uint64(b.idle))
	for _, f := range b.flows {
		var flags byte
		if f.eof {
			flags |= flagEOF
		}
		if f.finished {
			flags |= flagFinished
		}
		to = append(to, flags)
		to = binary.BigEndian.AppendUint64(to, f.moved)
		to = binary.BigEndian.AppendUint32(to, f.held)
		to = binary.BigEndian.AppendUint32(to, uint32(len(f.stash)))
		to = append(to, f.stash...)
	}
	return to
}

// parseBlob is strict: each blob has one encoding. The result refers to p.
func parseBlob(p []byte) (blob, error) {
	const head = len(blobMagic) + 2 + 8 + 8
	if len(p) < len(blobMagic)+1 || string(p[:len(blobMagic)]) != blobMagic {
		return blob{}, fmt.Errorf("%w: not a relay's", ErrMalformed)
	}
	if v := p[len(blobMagic)]; v != blobVersion {
		return blob{}, fmt.Errorf("%w: %d, want %d", ErrVersion, v, blobVersion)
	}
	if len(p) < head {
		return blob{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(p))
	}
	b := blob{
		kind:  kind(p[5]),
		since: time.Unix(0, int64(binary.BigEndian.Uint64(p[6:]))),
		idle:  time.Duration(binary.BigEndian.Uint64(p[14:])),
	}
	if b.kind != kindEcho && b.kind != kindRelay {
		return blob{}, fmt.Errorf("%w: kind %d", ErrMalformed, b.kind)
	}
	if b.idle < 0 {
		return blob{}, fmt.Errorf("%w: idle for %v", ErrMalformed, b.idle)
	}
	p = p[head:]
	for i := range int(b.kind) {
		f, rest, err := parseFlow(p)
		if err != nil {
			return blob{}, fmt.Errorf("%w: direction %d: %w", ErrMalformed, i, err)
		}
		b.flows, p = append(b.flows, f), rest
	}
	if len(p) > 0 {
		return blob{}, fmt.Errorf("%w: %d bytes too many", ErrMalformed, len(p))
	}
	return b, nil
}

func parseFlow(p []byte) (f flowBlob, rest []byte, err error) {
	const head = 1 + 8 + 4 + 4
	if len(p) < head {
		return f, nil, errors.New("cut short")
	}
	flags, stash := p[0], binary.BigEndian.Uint32(p[13:])
	f = flowBlob{
		eof:      flags&flagEOF != 0,
		finished: flags&flagFinished != 0,
		moved:    binary.BigEndian.Uint64(p[1:]),
		held:     binary.BigEndian.Uint32(p[9:]),
	}
	p = p[head:]
	switch {
	case flags&^flagsKnown != 0:
		return f, nil, fmt.Errorf("flags %#x", flags)
	case stash > maxStash || int(stash) > len(p):
		return f, nil, fmt.Errorf("%d bytes waiting, %d there", stash, len(p))
	case f.held > maxHeld:
		return f, nil, fmt.Errorf("%d bytes in a pipe", f.held)
	case f.finished && (!f.eof || f.held > 0 || stash > 0):
		return f, nil, errors.New("finished with bytes to deliver")
	}
	if stash > 0 {
		f.stash = p[:stash:stash]
	}
	return f, p[stash:], nil
}
