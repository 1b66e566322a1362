// Package layout holds the direction of the project's imports.
package layout

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/seed-e3b9a99f/baton/"

// may says which of the project's packages each part may import, beside its own subpackages: parts, or single packages.
var may = map[string][]string{
	"upgrader":  {"internal/tickets"},
	"tlsreload": {"internal/tickets"},
	"bench":     {},
	"proxy":     {"upgrader", "tlsreload", "internal"},
	"internal":  {"upgrader", "tlsreload"},
	"cmd":       {"upgrader", "tlsreload", "proxy", "bench", "internal"},
}

// light lists what the libraries that people import may depend on: it becomes theirs.
var light = map[string][]string{
	"upgrader": {
		"golang.org/x/sys/", "golang.org/x/net/", "golang.org/x/text/", "github.com/coreos/go-systemd/",
		"github.com/hashicorp/",
	},
	"tlsreload": {
		"golang.org/x/sys/", "golang.org/x/crypto/", "github.com/fsnotify/fsnotify", "github.com/hashicorp/",
	},
}

// heavy are the packages of these libraries that are apart for what they depend on.
var heavy = []string{
	module + "upgrader/internal/flipapp", // a test's
	module + "tlsreload/tlsmetrics",
}

func TestImportsPointOneWay(t *testing.T) {
	for pkg, imports := range list(t, "{{.ImportPath}} {{join .Imports \" \"}}", module+"...") {
		from := part(pkg)
		for _, imported := range imports {
			if !strings.HasPrefix(imported, module) || part(imported) == from {
				continue
			}
			single := strings.TrimPrefix(imported, module)
			if !slices.Contains(may[from], part(imported)) && !slices.Contains(may[from], single) {
				t.Errorf("%s imports %s: %s may import %v", pkg, imported, from, may[from])
			}
		}
	}
}

func TestLibrariesStayLight(t *testing.T) {
	for lib, allowed := range light {
		for pkg, deps := range list(t, "{{.ImportPath}} {{join .Deps \" \"}}", module+lib+"/...") {
			if slices.ContainsFunc(heavy, func(p string) bool { return strings.HasPrefix(pkg+"/", p+"/") }) {
				continue
			}
			for _, dep := range deps {
				root, _, _ := strings.Cut(dep, "/")
				if !strings.Contains(root, ".") || strings.HasPrefix(dep, module) || slices.ContainsFunc(allowed, func(p string) bool { return strings.HasPrefix(dep, p) }) {
					continue
				}
				t.Errorf("%s depends on %s: everybody who imports it would too", pkg, dep)
			}
		}
	}
}

// list runs go list, whose first field is the key of the others. A pattern that matches nothing is no error.
func list(t *testing.T, format, pattern string) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-f", format, pattern)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	found := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) > 0 {
			found[fields[0]] = fields[1:]
		}
	}
	return found
}

// part returns the top-level folder of one of the project's packages.
func part(pkg string) string {
	top, _, _ := strings.Cut(strings.TrimPrefix(pkg, module), "/")
	return top
}
