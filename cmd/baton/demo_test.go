package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// A command line that cannot be carried out gets one line, which names the flag and says what to do, and status 2.
func TestDemoRefusesBadValues(t *testing.T) {
	for _, test := range []struct {
		args string
		says []string
	}{
		{"--http nowhere", []string{`--http="nowhere"`, "HOST:PORT"}},
		{"--https :99999", []string{`--https=":99999"`}},
		{"--tcp=", []string{`--tcp=""`}},
		{"--pid-file .", []string{"--pid-file", "path of a file"}},
		{"--probation=-1s", []string{"--probation=-1s", "0s to switch it off"}},
		{"--probation soon", []string{"--probation", "soon"}},
		{"--ready-timeout 0s", []string{"--ready-timeout=0s", "above zero"}},
		{"--drain-timeout=-5s", []string{"--drain-timeout=-5s", "above zero"}},
		{"--http nowhere --tcp nothing", []string{`--http="nowhere"`, `--tcp="nothing"`}}, // all at once
		{"--no-such-flag", []string{"--no-such-flag"}},
		{"and more", []string{"and"}},
	} {
		var out, errs bytes.Buffer
		err := run(context.Background(), append([]string{"demo"}, strings.Fields(test.args)...), &out, &errs)
		if status := exitCode(err, &errs); status != 2 {
			t.Errorf("%s: status %d, want 2", test.args, status)
		}
		line := errs.String()
		if strings.Count(line, "\n") != 1 {
			t.Errorf("%s: not one line: %q", test.args, line)
		}
		for _, want := range test.says {
			if !strings.Contains(line, want) {
				t.Errorf("%s: does not say %s: %s", test.args, want, line)
			}
		}
		if out.Len() > 0 {
			t.Errorf("%s: on standard output: %s", test.args, &out)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range []string{"--help", "demo --help", "bench --help"} {
		var out, errs bytes.Buffer
		err := run(context.Background(), strings.Fields(args), &out, &errs)
		if status := exitCode(err, &errs); status != 0 || out.Len() == 0 || errs.Len() > 0 {
			t.Errorf("%s: status %d, %d bytes of help, errors %q", args, status, out.Len(), &errs)
		}
	}
}
