//go:build unix

package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Binaries take turns at the server's path, and each upgrade runs the one that was installed for it.
func TestRollingBinaries(t *testing.T) {
	s := startService(t, "")
	one, two := filepath.Join(s.dir, "one"), filepath.Join(s.dir, "two")
	s.write(t, one, "1")
	s.write(t, two, "2")
	d := drives(s, Upgrades{Count: 3, Rolling: &Rolling{Path: s.path, Binaries: []string{one, two}}})
	if err := d.Upgrades.validate(); err != nil {
		t.Fatal(err)
	}
	target := HTTP{Addr: s.addr, GenerationHeader: "Service-Generation"}
	var answered []string
	d.report = func(Upgrade) {
		generation, err := NewConnections(target).Probe(t.Context())
		if err != nil {
			t.Error(err)
		}
		answered = append(answered, generation)
	}
	d.run(t.Context())
	if got := strings.Join(answered, " "); got != "1-1 2-2 3-1" {
		t.Errorf("these answered: %s", got)
	}
	for i, u := range d.finished {
		if want := []string{one, two, one}[i]; u.Error != "" || d.events()[i].Binary != want {
			t.Errorf("upgrade %+v by %s, want %s", u, d.events()[i].Binary, want)
		}
	}
}

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	path, binary := filepath.Join(dir, "server"), filepath.Join(dir, "new")
	for file, mode := range map[string]os.FileMode{path: 0o755, binary: 0o711} {
		if err := os.WriteFile(file, []byte(file), mode); err != nil {
			t.Fatal(err)
		}
	}
	running, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	if err := install(binary, path); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != binary {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o711 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if sameFile(path, binary) {
		t.Error("it is not a copy: writing to the new one would change the server's")
	}
	text := make([]byte, len(path))
	if _, err := running.ReadAt(text, 0); err != nil || string(text) != path {
		t.Errorf("what ran has changed to %q, %v", text, err)
	}
	if err := install(filepath.Join(dir, "none"), path); err == nil {
		t.Error("installed what is not there")
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

func TestKeepAndPutBack(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "v1"), filepath.Join(dir, "current")
	if err := os.WriteFile(path, []byte("good"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("v1", link); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{path, link} {
		for _, replaced := range []bool{true, false} {
			k, err := keep(at)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := keep(at); err == nil || !strings.Contains(err.Error(), "put it back by mv") {
				t.Errorf("kept twice: %v", err)
			}
			if replaced {
				if err := replace(at, 0o755, nil, strings.NewReader("bad")); err != nil {
					t.Fatal(err)
				}
				if text, _ := os.ReadFile(at); string(text) != "bad" {
					t.Errorf("%s: %q", at, text)
				}
			}
			if err := k.putBack(); err != nil {
				t.Error(err)
			}
			if text, err := os.ReadFile(at); err != nil || string(text) != "good" {
				t.Errorf("%s: %q, %v", at, text, err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 2 {
				t.Errorf("left: %v", left)
			}
		}
	}
	if to, err := os.Readlink(link); err != nil || to != "v1" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
}

func TestRollingThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "server"), filepath.Join(dir, "other")
	for _, file := range []string{path, other} {
		if err := os.WriteFile(file, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for want, r := range map[string]*Rolling{
		"no binaries":           {Path: path},
		"say which file":        {Binaries: []string{other}},
		"no such file":          {Path: path, Binaries: []string{other, other + ".no"}},
		"the server's own file": {Path: path, Binaries: []string{other, path}},
	} {
		if err := r.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	r := &Rolling{Path: filepath.Join(path, "no"), Binaries: []string{other}}
	if _, err := r.next(); err == nil || !strings.Contains(err.Error(), "install "+other+" as "+r.Path) {
		t.Errorf("%v", err)
	}
}
