package bench

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

const manifest = "../deploy/kubernetes-bench.yaml"

// job is as much of a Kubernetes manifest as its test looks at.
type job struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec struct {
		CompletionMode       string `yaml:"completionMode"`
		Completions          int    `yaml:"completions"`
		Parallelism          int    `yaml:"parallelism"`
		BackoffLimitPerIndex *int   `yaml:"backoffLimitPerIndex"`
		MaxFailedIndexes     int    `yaml:"maxFailedIndexes"`
		Deadline             int    `yaml:"activeDeadlineSeconds"`
		Template             struct {
			Spec PodSpec `yaml:"spec"`
		} `yaml:"template"`
		PodSpec `yaml:",inline"`
	} `yaml:"spec"`
}

// PodSpec is exported for the YAML decoder, which sets no other embedded types.
type PodSpec struct {
	RestartPolicy string `yaml:"restartPolicy"`
	Containers    []struct {
		Command []string `yaml:"command"`
		Args    []string `yaml:"args"`
		Env     []struct {
			Name string `yaml:"name"`
		} `yaml:"env"`
		VolumeMounts []struct {
			Name      string `yaml:"name"`
			MountPath string `yaml:"mountPath"`
		} `yaml:"volumeMounts"`
	} `yaml:"containers"`
	Volumes []struct {
		Name  string `yaml:"name"`
		Claim struct {
			Name string `yaml:"claimName"`
		} `yaml:"persistentVolumeClaim"`
	} `yaml:"volumes"`
}

func readManifest(t *testing.T) map[string]job {
	t.Helper()
	f, err := os.Open(manifest)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	objects := map[string]job{}
	for from := yaml.NewDecoder(f); ; {
		var object job
		if err := from.Decode(&object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatal(yaml.FormatError(err, false, true))
		}
		objects[object.Kind] = object
	}
}

func TestKubernetesJob(t *testing.T) {
	objects := readManifest(t)
	j := objects["Job"].Spec
	if j.CompletionMode != "Indexed" || j.Completions < 2 || j.Parallelism != j.Completions {
		t.Errorf("%s, %d of %d at once: want all of an indexed job", j.CompletionMode, j.Parallelism, j.Completions)
	}
	if j.BackoffLimitPerIndex == nil || *j.BackoffLimitPerIndex != 0 || j.MaxFailedIndexes != j.Completions || j.Template.Spec.RestartPolicy != "Never" {
		t.Error("a bench that found losses would be tried again, or end the others")
	}
	for name, pod := range map[string]PodSpec{"job": j.Template.Spec, "pod": objects["Pod"].Spec.PodSpec} {
		if len(pod.Containers) != 1 || len(pod.Volumes) != 1 || len(pod.Containers[0].VolumeMounts) != 1 {
			t.Fatalf("%s: %+v", name, pod)
		}
		if pod.Volumes[0].Claim.Name != objects["PersistentVolumeClaim"].Metadata.Name || pod.Volumes[0].Name != pod.Containers[0].VolumeMounts[0].Name {
			t.Errorf("%s: volume %+v is not that of the claim", name, pod.Volumes[0])
		}
	}
	c := j.Template.Spec.Containers[0]
	if !slices.Equal(c.Command, []string{"baton"}) || len(c.Args) == 0 || c.Args[0] != "bench" {
		t.Fatalf("%q %q", c.Command, c.Args)
	}
	flags := map[string]string{}
	for _, arg := range c.Args[1:] {
		name, value, ok := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if !ok || !strings.HasPrefix(arg, "--") {
			t.Errorf("%q: want --flag=value", arg)
		}
		flags[name] = value
	}
	for _, use := range regexp.MustCompile(`\$\((\w+)\)`).FindAllStringSubmatch(strings.Join(c.Args, " "), -1) {
		known := false
		for _, e := range c.Env {
			known = known || e.Name == use[1]
		}
		if !known {
			t.Errorf("%s is not in the environment", use[0])
		}
	}
	if flags["start-at"] != "$(START_AT)" || flags["upgrades"] != "0" {
		t.Errorf("flags %q", flags)
	}
	if at := flags["json"]; filepath.Dir(at) != c.VolumeMounts[0].MountPath || !strings.Contains(at, "$(BENCH_INDEX)") {
		t.Errorf("the reports go to %q, and not to a file each of %q", at, c.VolumeMounts[0].MountPath)
	}
	if _, err := ParseHTTP("http", flags["http"]); err != nil {
		t.Error(err)
	}
	lasts, err := time.ParseDuration(flags["duration"])
	if err != nil || lasts.Seconds()+300 > float64(j.Deadline) {
		t.Errorf("%v, %v: with the wait for the start it does not fit into %d s", lasts, err, j.Deadline)
	}
	for _, number := range []string{"rate", "conns"} {
		if n, err := strconv.Atoi(flags[number]); err != nil || n < 1 {
			t.Errorf("--%s: %v", number, err)
		}
	}
	text, err := os.ReadFile(manifest)
	if err != nil || !strings.Contains(string(text), "baton bench merge reports/*.json") {
		t.Errorf("it does not say how to join the reports: %v", err)
	}

	known := commandFlags(t)
	for name := range flags {
		if !slices.Contains(known, name) {
			t.Errorf("baton bench has no flag --%s", name)
		}
	}
}

// commandFlags reads the flags of baton bench from its source, since the program is built from what imports this.
func commandFlags(t *testing.T) (flags []string) {
	t.Helper()
	files, err := filepath.Glob("../cmd/baton/bench*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no source of the command: %v", err)
	}
	hump := regexp.MustCompile(`([a-z0-9])([A-Z])`)
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Skipf("%s does not parse at the moment: %v", file, err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			field, ok := n.(*ast.Field)
			if !ok || field.Tag == nil {
				return true
			}
			text, _ := strconv.Unquote(field.Tag.Value)
			name := reflect.StructTag(text).Get("name")
			for _, id := range field.Names {
				if name == "" {
					name = strings.ToLower(hump.ReplaceAllString(id.Name, "$1-$2"))
				}
				flags = append(flags, name)
			}
			return true
		})
	}
	return flags
}
