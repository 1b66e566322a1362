package control

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"testing"
)

func TestPayloads(t *testing.T) {
	binary := string([]byte{0, 0xff, '/', 0xc3, 0x28})
	for _, v := range []any{
		&Greeting{Generation: 3, PID: 4711},
		&[]Entry{{Role: RoleListener, Name: []byte(binary), Network: "unix", Address: []byte(binary), Protocol: "http"},
			{Role: RoleLease, Generation: 2, PID: 4700}},
		&Claim{Indexes: []int{2, 0, 5}, Paths: [][]byte{[]byte(binary), {}}},
		&Claim{},
		&Reason{Text: "listen tcp :99999: invalid port"},
		&Passed{Action: "upgrade"},
	} {
		got := reflect.New(reflect.TypeOf(v).Elem())
		if err := Decode(Message{Payload: Encode(v)}, got.Interface()); err != nil {
			t.Errorf("%T: %v", v, err)
		}
		if !reflect.DeepEqual(got.Interface(), v) {
			t.Errorf("%+v came back as %+v", v, got.Elem())
		}
	}
}

func TestUnknownFieldsAreTolerated(t *testing.T) {
	var claim Claim
	err := Decode(Message{Payload: []byte(`{"claimed":[1],"colour":"red","paths":["L3A="]}`)}, &claim)
	if want := (Claim{Indexes: []int{1}, Paths: [][]byte{[]byte("/p")}}); err != nil || !reflect.DeepEqual(claim, want) {
		t.Errorf("got %+v, %v", claim, err)
	}
	files := make([]*os.File, 1)
	entries, err := DecodeFiles(Message{Payload: []byte(`[{"role":"periscope","name":"eA==","depth":[3]}]`), Files: files})
	if err != nil || len(entries) != 1 || entries[0].Role != "periscope" || string(entries[0].Name) != "x" {
		t.Errorf("got %+v, %v", entries, err)
	}
}

func TestMalformedPayloads(t *testing.T) {
	for _, payload := range []string{"", "{", `[]x`, `{"claimed":"all"}`, `{"paths":["not base64!"]}`, `[1]`} {
		var claim Claim
		if err := Decode(Message{Kind: Ready, Payload: []byte(payload)}, &claim); !errors.Is(err, ErrFrame) {
			t.Errorf("%q: %+v, %v", payload, claim, err)
		}
	}
	for _, payload := range []string{"", "{}", "[]", "null", "[{},{}]", `[{"name":"!"}]`, `[{"generation":1e99}]`} {
		m := Message{Kind: Files, Payload: []byte(payload), Files: make([]*os.File, 1)}
		if entries, err := DecodeFiles(m); !errors.Is(err, ErrFrame) {
			t.Errorf("%q: %+v, %v", payload, entries, err)
		}
	}
}

func FuzzDecodeFiles(f *testing.F) {
	f.Add([]byte("[]"), uint8(0))
	f.Add(Encode([]Entry{{Role: RoleFile, Name: []byte("\xff\x00")}, {Role: RoleListener, Network: "tcp"}}), uint8(2))
	f.Add([]byte(`[{"role":"fd","depth":3}]`), uint8(1))
	f.Add([]byte("null"), uint8(0))
	f.Fuzz(func(t *testing.T, payload []byte, fds uint8) {
		entries, err := DecodeFiles(Message{Kind: Files, Payload: payload, Files: make([]*os.File, fds)})
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Errorf("unknown error %v", err)
			}
			return
		}
		if len(entries) != int(fds) {
			t.Errorf("%d entries for %d fds", len(entries), fds)
		}
		wantStable(t, &entries, new([]Entry))
	})
}

func FuzzPayloads(f *testing.F) {
	f.Add(Encode(Greeting{Generation: 3, PID: 4711}))
	f.Add(Encode(Claim{Indexes: []int{0, -1}, Paths: [][]byte{[]byte("/run/\xff")}}))
	f.Add(Encode(Reason{Text: "no"}))
	f.Add(Encode(Passed{Action: "upgrade"}))
	f.Add([]byte(`{"claimed":null,"paths":null,"new":{}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, v := range [][2]any{
			{new(Greeting), new(Greeting)}, {new(Claim), new(Claim)}, {new(Reason), new(Reason)}, {new(Passed), new(Passed)},
		} {
			err := Decode(Message{Payload: payload}, v[0])
			if err == nil {
				wantStable(t, v[0], v[1])
			} else if !errors.Is(err, ErrFrame) {
				t.Errorf("unknown error %v", err)
			}
		}
	})
}

// wantStable fails the test unless v means the same after another round trip.
func wantStable(t *testing.T, v, again any) {
	t.Helper()
	first := Encode(v)
	if err := Decode(Message{Payload: first}, again); err != nil {
		t.Fatal(err)
	}
	if second := Encode(again); !bytes.Equal(first, second) {
		t.Errorf("%s became %s", first, second)
	}
}
