package upgrader

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/tickets"
	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
	"pgregory.net/rapid"
)

// inheritTickets returns the keys that a process passes on whose parent has given it a blob.
func inheritTickets(t testing.TB, blob []byte) []byte {
	t.Helper()
	const size = len(stateTickets)
	var blobs control.Blobs
	payload := append(binary.AppendUvarint(nil, uint64(size)), stateTickets...)
	if err := blobs.Add(control.Message{Payload: append(payload, blob...)}); err != nil {
		t.Fatal(err)
	}
	u := &Upgrader{log: slog.New(slog.DiscardHandler)}
	u.state.inherit(&blobs)
	u.keepTickets()
	return u.state.collect()[stateTickets]
}

func TestTicketKeysArePassedOn(t *testing.T) {
	blob := tickets.New(0, 0, time.Now()).Export()
	if !bytes.Equal(inheritTickets(t, blob), blob) {
		t.Error("the next generation gets other keys")
	}
}

// Whatever a parent of another release gives, there are keys to go on with.
func TestTicketKeysSurviveAnyBlob(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		blob := inheritTickets(t, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "blob"))
		if err := tickets.New(0, 0, time.Now()).Import(blob, time.Now()); err != nil {
			t.Error(err)
		}
	})
}
