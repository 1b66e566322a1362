package bench

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Fault is how a bad binary goes wrong. The strings are part of the JSON schema.
type Fault string

const (
	// FaultExit exits at once, by status 1.
	FaultExit Fault = "exit"
	// FaultHang does nothing for Injection.Hang, and then exits.
	FaultHang Fault = "hang"
	// FaultCrash dies by SIGSEGV shortly after its start.
	FaultCrash Fault = "crash"
)

var faults = []Fault{FaultExit, FaultHang, FaultCrash}

// ParseFaults reads faults as "exit,hang,crash".
func ParseFaults(s string) ([]Fault, error) { return parseList(s, "fault", faults) }

// Injection puts a bad binary in the place of the server's for some of the upgrades, and the good one back after each.
// Such an upgrade is expected to fail, and the old generation to serve on. It goes well if the server has started the
// bad binary, that has ended, and the pidfile and the generation header name whom they named before. That the service
// is still there is for the clients to say: one that an injected upgrade takes down shows as losses tied to it.
//
// A bad binary says nothing in any server's own protocol, so none of them gets as far as being ready.
type Injection struct {
	// Path is the file that the server runs when it upgrades; see Rolling.Path. Meanwhile the good one has a second name,
	// with .before-bench added, and stays there if the bench is killed.
	Path   string
	Faults []Fault // take turns
	Every  int     // of so many upgrades the last one is bad; 2 if 0
	// Hang is how long FaultHang hangs unless the server ends it before; 5 s if 0. It must be shorter than the timeout of
	// an upgrade.
	Hang time.Duration
	// Program is the command that runs Misbehave with the arguments that are added to it; this program with
	// "bench-fault" if nil.
	Program []string
}

func (i Injection) withDefaults() Injection {
	orElse(&i.Every, 2)
	orElse(&i.Hang, 5*time.Second)
	return i
}

func (i Injection) validate(timeout time.Duration) error {
	switch {
	case !canInject:
		return errors.New("inject: there are no bad binaries for this system")
	case len(i.Faults) == 0:
		return errors.New("inject: no faults: give exit, hang or crash")
	case i.Every < 1:
		return fmt.Errorf("inject: every %d upgrades: give at least 1", i.Every)
	case i.Hang < 0 || i.Hang >= timeout && slices.Contains(i.Faults, FaultHang):
		return fmt.Errorf("inject: a hang of %v must be shorter than the timeout of an upgrade, %v", i.Hang, timeout)
	}
	for _, fault := range i.Faults {
		if !slices.Contains(faults, fault) {
			return fmt.Errorf("inject: %q is no fault: give exit, hang or crash", fault)
		}
	}
	if err := runnable(i.Path); err != nil {
		return fmt.Errorf("inject: %w", err)
	}
	return nil
}

// put puts a bad binary at the server's path. What it is comes from a script, since the server runs it with arguments
// of its own. It opens the FIFO, and holds it open for as long as it lives.
func (i Injection) put(fault Fault, fifo string) error {
	program := i.Program
	if program == nil {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		program = []string{self, "bench-fault"}
	}
	var script strings.Builder
	script.WriteString("#!/bin/sh\n# A binary that is bad on purpose, by baton bench --inject.\nexec")
	for _, word := range append(slices.Clone(program), string(fault), fifo, i.Hang.String()) {
		script.WriteString(" '" + strings.ReplaceAll(word, "'", `'\''`) + "'")
	}
	script.WriteString("\n")
	return replace(i.Path, 0o755, nil, strings.NewReader(script.String()))
}
