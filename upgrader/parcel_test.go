package upgrader

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
)

// parcelRing is a ring whose second generation takes parcels of kind "test".
func parcelRing(t *testing.T, receive func(Parcel) error) *ring {
	t.Helper()
	r := newRing(t, noServer)
	if err := r.gens[1].u.OnParcel("test", receive); err != nil {
		t.Fatal(err)
	}
	return r
}

// Many senders at once: each parcel arrives once, one at a time, those of one sender in order, and more than may be under
// way at once.
func TestParcelsFromManySenders(t *testing.T) {
	t.Parallel()
	const senders, each = 40, 50 // of which every one waits for each
	var mu sync.Mutex
	next := make(map[byte]byte)
	inside := 0
	r := parcelRing(t, func(p Parcel) error {
		mu.Lock()
		inside++
		if inside > 1 || p.Data[1] != next[p.Data[0]] || len(p.Files) != int(p.Data[1]%3) {
			t.Errorf("parcel %v with %d files, %d at once", p.Data[:2], len(p.Files), inside)
		}
		next[p.Data[0]]++
		mu.Unlock()
		closeFiles(p.Files)
		mu.Lock()
		inside--
		mu.Unlock()
		return nil
	})
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			file, err := os.Open(os.DevNull)
			if err != nil {
				t.Error(err)
				return
			}
			defer file.Close()
			for i := range each {
				p := Parcel{Kind: "test", Data: []byte{byte(s), byte(i)}, Files: []*os.File{file, file}[:i%3]}
				if err := r.gens[0].u.SendParcel(p); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func TestParcelRoundTrip(t *testing.T) {
	t.Parallel()
	got := make(chan Parcel, 1)
	r := parcelRing(t, func(p Parcel) error {
		got <- p
		return nil
	})
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("x"), MaxParcelData)
	files := make([]*os.File, MaxParcelFiles)
	for i := range files {
		files[i] = pw
	}
	if err := r.gens[0].u.SendParcel(Parcel{Kind: "test", Data: data, Files: files}); err != nil {
		t.Fatal(err)
	}
	pw.Close()
	p := <-got
	if p.Kind != "test" || !bytes.Equal(p.Data, data) || len(p.Files) != len(files) {
		t.Fatalf("%q, %d bytes, %d files", p.Kind, len(p.Data), len(p.Files))
	}
	for _, f := range p.Files {
		if _, err := f.WriteString("."); err != nil {
			t.Error(err)
		}
		f.Close()
	}
	if text, err := io.ReadAll(pr); err != nil || len(text) != len(files) { // and an end: nobody else has the pipe
		t.Errorf("%d bytes, %v", len(text), err)
	}
	pr.Close()
}

func TestParcelsThatCannotBeSent(t *testing.T) {
	t.Parallel()
	refusal := errors.New("not today")
	r := parcelRing(t, func(Parcel) error { return refusal })
	u := r.gens[0].u
	shut, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	shut.Close()
	for name, test := range map[string]struct {
		parcel Parcel
		is     error
		says   string
	}{
		"refused":           {Parcel{Kind: "test"}, nil, refusal.Error()},
		"unknown":           {Parcel{Kind: "other"}, ErrNoReceiver, ""},
		"no kind":           {Parcel{}, nil, "1 to"},
		"Baton's kind":      {Parcel{Kind: kindHTTP}, nil, "baton/"},
		"a long kind":       {Parcel{Kind: strings.Repeat("k", 1<<20)}, nil, "1 to"},
		"too much data":     {Parcel{Kind: "test", Data: make([]byte, MaxParcelData+1)}, nil, "more than"},
		"too many files":    {Parcel{Kind: "test", Files: make([]*os.File, MaxParcelFiles+1)}, nil, "more than"},
		"a closed file":     {Parcel{Kind: "test", Files: []*os.File{shut}}, nil, "closed file"},
		"a file that is no": {Parcel{Kind: "test", Files: []*os.File{nil}}, os.ErrInvalid, ""},
	} {
		err := u.SendParcel(test.parcel)
		if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(err, ErrReceiverGone) {
			t.Errorf("%s: the receiver lives: %v", name, err)
		}
	}
	alone := &Upgrader{}
	alone.parcels.init(nil, nil)
	if err := alone.SendParcel(Parcel{Kind: "test"}); !errors.Is(err, ErrNoReceiver) {
		t.Errorf("nobody to send to: %v", err)
	}
	if err := r.gens[1].u.OnParcel("test", nil); err == nil {
		t.Error("two receivers of one kind")
	}
}

// A receiver that hangs keeps nobody else waiting: signals pass, and so do HTTP connections.
func TestReceiverThatHangs(t *testing.T) {
	t.Parallel()
	goOn, reached := make(chan struct{}), make(chan struct{})
	r := parcelRing(t, func(Parcel) error {
		close(reached)
		<-goOn
		return nil
	})
	u := r.gens[0].u
	first := make(chan error)
	go func() { first <- u.SendParcel(Parcel{Kind: "test"}) }()
	<-reached
	if err := u.sendParcel(Parcel{Kind: kindHTTP}); err == nil || errors.Is(err, ErrReceiverGone) {
		t.Errorf("a connection without a file: %v", err) // refused by name, while the other hangs
	}
	close(goOn)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// A generation that was replaced sends its elders' parcels on: the last in the chain gets them.
func TestParcelGoesToTheGrandchild(t *testing.T) {
	t.Parallel()
	r := parcelRing(t, func(Parcel) error {
		t.Error("the replaced generation took a parcel")
		return nil
	})
	grandparent, parent := r.gens[0].u, r.gens[1].u
	got := make(chan struct{}, 1)
	child := newRing(t, noServer).gens[0].u
	if err := child.OnParcel("test", func(Parcel) error {
		got <- struct{}{}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	ours, theirs, err := control.Pair() // what the parent makes for the child, as manifest does
	if err != nil {
		t.Fatal(err)
	}
	end, err := control.New(theirs)
	if err != nil {
		t.Fatal(err)
	}
	go child.listenUp(end)
	s := successor{to: r.up[1], conn: ours}
	s.introduce(3, os.Getpid())
	ours.Close()
	parent.parcels.leave()
	if err := grandparent.SendParcel(Parcel{Kind: "test"}); err != nil {
		t.Fatal(err)
	}
	<-got
	// Heard of late, the child that was replaced does not become the one in charge again.
	grandparent.linkMu.Lock()
	newest := grandparent.down
	grandparent.linkMu.Unlock()
	grandparent.replacedBy(&childProcess{conn: r.down[0]})
	grandparent.linkMu.Lock()
	if grandparent.down != newest {
		t.Error("a late commit hides the newest generation")
	}
	grandparent.linkMu.Unlock()
}

// Until its process has ended, a generation may have what it did not ack.
func TestUnackedParcelWaitsForTheEnd(t *testing.T) {
	t.Parallel()
	conn, file, err := control.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	u := &Upgrader{}
	u.parcels.init(nil, nil)
	u.parcels.hear(conn)
	u.setDown(conn, 1)
	result := make(chan error, 1)
	go func() { result <- u.SendParcel(Parcel{Kind: "test"}) }()
	theirs, err := control.New(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Receive(); err != nil {
		t.Fatal(err)
	}
	theirs.Close() // hung up; nobody says yet that it is dead
	select {
	case err := <-result:
		t.Fatalf("given up before the end: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	u.parcels.gone(conn)
	if err := <-result; !errors.Is(err, ErrReceiverGone) {
		t.Errorf("%v", err)
	}
}

func FuzzParseParcel(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(appendParcel(nil, 7, Parcel{Kind: "test", Data: []byte("data")}))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01kind"))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, p, err := parseParcel(b)
		if err != nil {
			if !errors.Is(err, control.ErrFrame) {
				t.Errorf("%v", err)
			}
			return
		}
		again, q, err := parseParcel(appendParcel(nil, id, p))
		if err != nil || again != id || q.Kind != p.Kind || !bytes.Equal(q.Data, p.Data) {
			t.Errorf("%d %q became %d %q, %v", id, p.Kind, again, q.Kind, err)
		}
	})
}

func FuzzParseJourney(f *testing.F) {
	f.Add([]byte(`{"listener":"web","served":true,"idle":1000}`), 1)
	f.Add([]byte(`{"idle":-1}`), 1)
	f.Add([]byte(`null`), 0)
	f.Fuzz(func(t *testing.T, data []byte, files int) {
		j, err := parseJourney(Parcel{Data: data, Files: make([]*os.File, max(files, 0)%4)})
		if err != nil {
			return
		}
		now := time.Now()
		if a := j.adoption(now); !a.until.IsZero() && a.until.Before(now) {
			t.Errorf("%q: idle until %v ago", data, now.Sub(a.until))
		}
		text, err := json.Marshal(j)
		if err != nil {
			t.Error(fmt.Errorf("%+v: %w", j, err))
		}
		if again, err := parseJourney(Parcel{Data: text, Files: make([]*os.File, 1)}); err != nil || again != j {
			t.Errorf("%+v became %+v, %v", j, again, err)
		}
	})
}
