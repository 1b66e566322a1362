package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// Each archive in testdata holds bad configurations, NAME.yaml, and the mistakes in them, NAME.want. After a change of
// a message, go test -run TestBad -update writes the latter; read what it wrote.
func TestBadConfigurations(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(archive.Files); i += 2 {
			bad, want := archive.Files[i], &archive.Files[i+1]
			name := strings.TrimSuffix(bad.Name, ".yaml")
			if want.Name != name+".want" {
				t.Fatalf("%s: %s is followed by %s", path, bad.Name, want.Name)
			}
			cases++
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar")+"/"+name, func(t *testing.T) {
				_, err := Parse("/etc/baton/baton.yaml", bad.Data)
				if err == nil {
					t.Fatal("no mistake")
				}
				have := strings.ReplaceAll(err.Error(), "/etc/baton/baton.yaml:", "baton.yaml:") + "\n"
				for _, m := range Mistakes(err) {
					if m.Line < 1 || m.Column < 1 || m.Line > bytes.Count(bad.Data, []byte("\n"))+1 {
						t.Errorf("is nowhere in the file: %v", m)
					}
				}
				if *update {
					want.Data = []byte(have)
				} else if have != string(want.Data) {
					t.Errorf("mistakes:\n%swant:\n%s", have, want.Data)
				}
			})
		}
		if *update {
			if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if cases < 60 {
		t.Errorf("%d bad configurations, fewer than 60", cases)
	}
}
