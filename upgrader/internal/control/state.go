package control

import (
	"encoding/binary"
	"fmt"
	"sync"
)

// MaxState bounds one blob, so that a broken peer cannot make it grow without end.
const MaxState = 256 << 20

// maxStateName leaves every piece of a blob half of a frame at least.
const maxStateName = MaxPayload / 2

// stateSender keeps one Conn's blobs apart: the pieces of a name follow each other until the last.
type stateSender struct {
	sync.Mutex
	err error // a blob broke off; whatever followed would be glued to what the peer has of it
}

// SendState sends a named blob, in pieces where it is large. Other frames may come between the pieces, other blobs do
// not. After an error the channel takes no more blobs.
func (c *Conn) SendState(name string, blob []byte) error {
	if len(name) > maxStateName || len(blob) > MaxState {
		return fmt.Errorf("send state blob: a name of %d bytes and a blob of %d are more than %d and %d",
			len(name), len(blob), maxStateName, MaxState)
	}
	c.state.Lock()
	defer c.state.Unlock()
	prefix := binary.AppendUvarint(nil, uint64(len(name)))
	prefix = append(prefix, name...)
	room := MaxPayload - len(prefix)
	for more := true; more && c.state.err == nil; {
		piece := blob[:min(len(blob), room)]
		blob = blob[len(piece):]
		more = len(blob) > 0
		payload := append(prefix[:len(prefix):len(prefix)], piece...)
		c.state.err = c.Send(Message{Kind: State, More: more, Payload: payload})
	}
	if c.state.err != nil {
		return fmt.Errorf("state blob %q: %w", name, c.state.err)
	}
	return nil
}

// Blobs puts the pieces of State frames together.
type Blobs struct {
	whole   map[string][]byte
	partial map[string][]byte
}

// Add takes a State frame in. A blob that is sent again replaces the earlier one when its last piece has come.
func (b *Blobs) Add(m Message) error {
	size, n := binary.Uvarint(m.Payload)
	if n <= 0 || size > uint64(len(m.Payload)-n) {
		return fmt.Errorf("%w: a state blob without its name", ErrFrame)
	}
	name, piece := string(m.Payload[n:n+int(size)]), m.Payload[n+int(size):]
	if b.whole == nil {
		b.whole, b.partial = make(map[string][]byte), make(map[string][]byte)
	}
	if len(b.partial[name])+len(piece) > MaxState {
		return fmt.Errorf("%w: state blob %q is larger than %d bytes", ErrFrame, name, MaxState)
	}
	blob := append(b.partial[name], piece...)
	if m.More {
		b.partial[name] = blob
		return nil
	}
	delete(b.partial, name)
	b.whole[name] = blob
	return nil
}

// Get returns the blob called name, and whether there is one.
func (b *Blobs) Get(name string) ([]byte, bool) {
	blob, ok := b.whole[name]
	return blob, ok
}
