package tickets

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

func threeKeys() *Ring {
	r := New(time.Hour, 3, epoch)
	r.Rotate(epoch.Add(time.Hour))
	r.Rotate(epoch.Add(2*time.Hour + 5))
	return r
}

func TestImportRefusesGarbageWhole(t *testing.T) {
	good := threeKeys().Export()
	edit := func(at int, with ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return b
	}
	second := func(sec int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(sec)) }
	for _, c := range []struct {
		name string
		blob []byte
		want string
	}{
		{"nothing", nil, "no ticket keys"},
		{"something else", []byte("an old release's keys, or those of others"), "no ticket keys"},
		{"a later version", edit(3, 2), "version 2 is not known, only 1 is"},
		{"no key", append([]byte("BTK\x01"), 0), "0 keys are not from 1 to 64"},
		{"too many", edit(4, 65), "65 keys are not from 1 to 64"},
		{"cut off", good[:len(good)-1], "3 keys take 132 bytes, there are 131"},
		{"more behind it", append(bytes.Clone(good), 0), "3 keys take 132 bytes, there are 133"},
		{"far future", edit(5, second(1<<62)...), "key 1 of 3 has an impossible time"},
		{"far past", edit(5, second(-1<<62)...), "key 1 of 3 has an impossible time"},
		{"nanoseconds", edit(13, 0xff), "key 1 of 3 has an impossible time"},
		{"wrong order", edit(5+blobKey, second(epoch.Unix()+1e6)...), "key 2 of 3 is newer"},
	} {
		r := New(0, 0, epoch)
		before := r.Export()
		err := r.Import(c.blob, epoch)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if !bytes.Equal(r.Export(), before) {
			t.Errorf("%s: the keys have changed", c.name)
		}
	}
}

// A process that keeps fewer takes the newest; one that was asleep for long makes a new key at once.
func TestImport(t *testing.T) {
	from := threeKeys()
	now := epoch.Add(2*time.Hour + 5)
	r := New(time.Hour, 2, now)
	if err := r.Import(from.Export(), now); err != nil {
		t.Fatal(err)
	}
	if len(r.keys) != 2 || r.keys[0].Secret != from.keys[0].Secret || r.keys[1].Secret != from.keys[1].Secret {
		t.Errorf("keys %v of %v", r.keys, from.keys)
	}
	late := now.Add(time.Hour)
	if err := r.Import(from.Export(), late); err != nil {
		t.Fatal(err)
	}
	if len(r.keys) != 2 || !r.keys[0].From.Equal(late) || r.keys[1].Secret != from.keys[0].Secret {
		t.Errorf("keys %v of %v, an hour later", r.keys, from.keys)
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("BTK\x01\x00"))
	f.Add(threeKeys().Export())
	f.Add(threeKeys().Export()[:60])
	f.Fuzz(func(t *testing.T, blob []byte) {
		now := epoch.Add(time.Hour)
		r := New(time.Hour, Max, now)
		before := r.Export()
		if err := r.Import(blob, now); err != nil {
			if !bytes.Equal(r.Export(), before) {
				t.Errorf("%v, and the keys have changed", err)
			}
			return
		}
		if next := r.Next(now); !next.After(now) {
			t.Errorf("due at %v, now is %v", next, now)
		}
		again := New(time.Hour, Max, now)
		if err := again.Import(r.Export(), now); err != nil || !bytes.Equal(again.Export(), r.Export()) {
			t.Errorf("not the same keys the second time: %v", err)
		}
	})
}
