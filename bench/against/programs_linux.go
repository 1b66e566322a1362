package against

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/seed-e3b9a99f/baton/bench"
)

// generationHeader is the response header by which Baton's demo and the programs of the nested module say who answers.
const generationHeader = "Baton-Generation"

const module = "github.com/seed-e3b9a99f/baton"

func batonDemo(s *site) (launch, error) {
	if s.Baton == "" {
		return launch{}, errNoBaton
	}
	pidFile := s.path("baton.pid")
	args := []string{s.Baton, "demo", "--http", s.HTTP, "--https", s.HTTPS, "--tcp", s.TCP,
		"--cert", s.path("cert.pem"), "--key", s.path("key.pem"), "--pid-file", pidFile}
	if s.Drain > 0 {
		args = append(args, "--drain-timeout", s.Drain.String())
	}
	return launch{
		args: args, trigger: bench.SignalPIDFile(pidFile, syscall.SIGHUP), pidFile: pidFile, header: generationHeader,
	}, nil
}

func batonProxy(s *site) (launch, error) {
	if s.Baton == "" {
		return launch{}, errNoBaton
	}
	config, err := s.configure("baton.yaml")
	pidFile := s.path("baton.pid")
	return launch{
		args:    []string{s.Baton, "proxy", "--config", config},
		trigger: bench.SignalPIDFile(pidFile, syscall.SIGHUP), pidFile: pidFile,
	}, err
}

var errNoBaton = &Missing{"no baton binary", "build it, and say where it is"}

// library is a program of the nested module.
func library(name string, as ...variant) func(*site) (launch, error) {
	return func(s *site) (launch, error) {
		// All of them are built into one folder, beside the peers' own, by the first that is started.
		program, err := build(filepath.Join(filepath.Dir(s.Dir), "baselines"), name)
		if err != nil {
			return launch{}, err
		}
		l := launch{pidFile: s.path("server.pid"), header: generationHeader}
		for _, change := range as {
			change(s, &l)
		}
		l.args = []string{program, "-http", s.HTTP, "-https", s.HTTPS, "-cert", s.path("cert.pem"), "-key",
			s.path("key.pem"), "-pid-file", s.path("server.pid")}
		if s.TCP != "" {
			l.args = append(l.args, "-tcp", s.TCP)
		}
		if s.Drain > 0 {
			l.args = append(l.args, "-drain", s.Drain.String())
		}
		return l, nil
	}
}

// build builds the nested module into dir, unless that has the program already.
func build(dir, name string) (program string, err error) {
	program = filepath.Join(dir, name)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	compiler, err := exec.LookPath("go")
	if err != nil {
		return "", &Missing{"no Go toolchain to build " + name + " with", "install it from go.dev/dl"}
	}
	source, err := baselines(compiler)
	if err != nil {
		return "", err
	}
	into := dir + string(filepath.Separator)
	out, err := exec.Command(compiler, "build", "-C", source, "-o", into, "./...").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build %s: %w: %s", source, err, bytes.TrimSpace(out))
	}
	return program, nil
}

// baselines returns the nested module's folder: beside the file that this was compiled from, or else in the module that
// the working directory is in.
func baselines(compiler string) (string, error) {
	var roots []string
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		roots = append(roots, filepath.Join(filepath.Dir(file), "..", ".."))
	}
	if out, err := exec.Command(compiler, "list", "-m", "-f", "{{.Dir}}", module).Output(); err == nil {
		roots = append(roots, string(bytes.TrimSpace(out)))
	}
	for _, root := range roots {
		dir := filepath.Join(root, "bench", "baselines")
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", &Missing{"the baselines' source is not here", "run this in a clone of https://" + module}
}

var errStopped = errors.New("stopped")
