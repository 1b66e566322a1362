//go:build unix

package control

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// receiveState takes frames in until one that is no State.
func receiveState(t *testing.T, c *Conn, b *Blobs) {
	t.Helper()
	for m := receive(t, c); m.Kind == State; m = receive(t, c) {
		if err := b.Add(m); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSendState(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, b := ends(t, typ)
		long := string(bytes.Repeat([]byte{0xff}, maxStateName))
		blobs := map[string][]byte{
			"": {}, "one": []byte("1"), "\xff\x00\n": []byte("binary"), long: bytes.Repeat([]byte("long"), MaxPayload),
		}
		for i, size := range []int{MaxPayload - 2, MaxPayload - 1, MaxPayload, MaxPayload + 1, 3 << 20} {
			blobs[fmt.Sprint(i)] = bytes.Repeat([]byte{byte(size), 1, byte(i)}, size)[:size]
		}
		go func() {
			for name, blob := range blobs {
				if err := a.SendState(name, []byte("to be replaced")); err != nil {
					t.Error(err)
				}
				if err := a.SendState(name, blob); err != nil {
					t.Error(err)
				}
			}
			if err := a.Send(Message{Kind: Complete}); err != nil {
				t.Error(err)
			}
		}()
		var got Blobs
		receiveState(t, b, &got)
		for name, want := range blobs {
			if blob, ok := got.Get(name); !ok || !bytes.Equal(blob, want) {
				t.Errorf("blob %.20q of %d bytes came as %d", name, len(want), len(blob))
			}
		}
		if err := a.SendState(long+"r", nil); err == nil {
			t.Error("a name that is too long was sent")
		}
		if err := a.SendState("large", make([]byte, MaxState+1)); err == nil {
			t.Error("a blob that is too large was sent")
		}
	})
}

func TestConcurrentStateOfOneName(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, b := ends(t, typ)
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				if err := a.SendState("name", bytes.Repeat([]byte{byte(i)}, 10*MaxPayload)); err != nil {
					t.Error(err)
				}
			})
		}
		go func() {
			all.Wait()
			if err := a.Send(Message{Kind: Complete}); err != nil {
				t.Error(err)
			}
		}()
		var got Blobs
		receiveState(t, b, &got)
		blob, _ := got.Get("name")
		if len(blob) != 10*MaxPayload || !bytes.Equal(blob, bytes.Repeat(blob[:1], len(blob))) {
			t.Errorf("blobs were mixed: %d bytes", len(blob))
		}
	})
}

// What the peer has of a blob that broke off must not be glued to the next try.
func TestStateAfterBrokenBlob(t *testing.T) {
	forSockets(t, func(t *testing.T, typ int) {
		a, _ := ends(t, typ)
		if err := a.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if err := a.SendState("name", make([]byte, 100*MaxPayload)); !os.IsTimeout(err) && err == nil {
			t.Fatal("a blob went where nobody reads")
		}
		if err := a.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		before := a.seq
		if err := a.SendState("name", []byte("again")); err == nil || a.seq != before {
			t.Errorf("sent again: %v", err)
		}
	})
}
