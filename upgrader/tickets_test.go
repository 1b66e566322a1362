package upgrader

import (
	"bytes"
	"crypto/tls"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTicketKeysRotate(t *testing.T) {
	var k ticketKeys
	now := time.Unix(1_000_000, 0)
	rotate := func() []byte {
		t.Helper()
		if err := k.rotate(now); err != nil {
			t.Fatal(err)
		}
		return k.export()
	}
	first := rotate()
	now = now.Add(ticketLifetime - time.Second)
	if !bytes.Equal(rotate(), first) {
		t.Error("rotated before its time")
	}
	now = now.Add(time.Second)
	second := rotate()
	if !bytes.HasSuffix(second, first) || len(second) != 2*len(first) {
		t.Error("the old key does not open tickets any more")
	}
	for range 10 {
		now = now.Add(ticketLifetime)
		rotate()
	}
	if got := len(k.export()); got != ticketsKept*len(first) {
		t.Errorf("%d bytes of keys, want %d", got, ticketsKept*len(first))
	}
	if bytes.Contains(k.export(), first) {
		t.Error("the first key still opens tickets")
	}
}

func TestTicketKeysSurviveAnyBlob(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blob := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "blob")
		var k ticketKeys
		k.inherit(blob)
		again := k.export()
		if len(again) > ticketsKept*40 || !bytes.HasPrefix(blob, again) {
			t.Errorf("%d bytes of blob became %d", len(blob), len(again))
		}
		if err := k.use(&tls.Config{}, "web"); err != nil {
			t.Error(err)
		}
	})
}
