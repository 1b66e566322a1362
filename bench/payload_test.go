package bench

import (
	"bytes"
	"testing"
)

func TestPayloadsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, lane := range []string{"tcp long", "tcp new", "https keep-alive"} {
		for client := range 30 {
			for seq := range int64(100) {
				p := payload([]byte("before"), lane, client, seq)[6:]
				if len(p) != payloadSize || bytes.IndexByte(p, '\n') != payloadSize-1 {
					t.Fatalf("%q is not one line of %d bytes", p, payloadSize)
				}
				// Not by their number alone: the bytes after it must tell too.
				_, rest, _ := bytes.Cut(p, []byte("/"))
				_, rest, _ = bytes.Cut(rest, []byte(" "))
				if key := string(rest[:60]); lane == "tcp long" && seen[key] {
					t.Fatalf("client %d, %d: %q came before", client, seq, rest)
				} else if lane == "tcp long" {
					seen[key] = true
				}
			}
		}
	}
}
