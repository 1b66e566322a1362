package relayset

import (
	"bytes"
	"testing"
)

func FuzzOpen(f *testing.F) {
	f.Add(seal([]byte("note"), []byte("state")))
	f.Add(seal(nil, nil))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 12))
	f.Fuzz(func(t *testing.T, data []byte) {
		note, blob, err := open(data)
		if err != nil {
			return
		}
		again, rest, err := open(seal(note, blob))
		if err != nil || !bytes.Equal(again, note) || !bytes.Equal(rest, blob) {
			t.Errorf("%q, %q, %v", again, rest, err)
		}
	})
}
