package config

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample + sampleTLS))
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for i := 0; i < len(archive.Files); i += 2 {
			f.Add(archive.Files[i].Data)
		}
	}
	if text, err := os.ReadFile(deployExample); err == nil {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("/etc/baton/baton.yaml", text)
		if err == nil {
			if len(c.Listeners) == 0 || len(c.Upstreams) == 0 {
				t.Error("a configuration without listeners or upstreams passed")
			}
			return
		}
		if len(Mistakes(err)) == 0 {
			t.Errorf("an error that is no mistake: %v", err)
		}
		lines := bytes.Count(text, []byte("\n")) + 1
		for _, m := range Mistakes(err) {
			if m.Line < 1 || m.Line > lines || m.Column < 1 || m.Text == "" {
				t.Errorf("is nowhere in %d lines: %+v", lines, m)
			}
		}
	})
}
