package upgrader

import (
	"encoding/gob"
	"fmt"
	"os"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
)

// A child that a tableflip v1.2.3 process has started speaks that protocol instead: fd 3 takes one byte when the child
// is ready, fd 4 gives the names of the fds from 5 on, as a gob of [][]string, and ends when the parent exits. So a
// live service moves to Baton with one upgrade. There is no probation, and no way to tell the parent why not.
const (
	envTableflip        = "TABLEFLIP_HAS_PARENT_7DIU3"
	tableflipReady byte = 42
)

// tableflipParent is a parent that speaks tableflip's protocol.
type tableflipParent struct{ ready *os.File }

func inheritTableflip() (*inheritance, error) {
	if os.Getenv(envTableflip) == "" {
		return &inheritance{generation: 1}, nil
	}
	os.Unsetenv(envTableflip) // before this process starts any other
	ready, names := openInherited(3), openInherited(4)
	in := &inheritance{generation: 2, parentPID: os.Getppid(), link: tableflipParent{ready}}

	var list [][]string
	if err := gob.NewDecoder(names).Decode(&list); err != nil {
		return nil, fmt.Errorf("inherit from a tableflip parent: names of fds: %w", err)
	}
	for i, name := range list {
		if len(name) < 3 {
			return nil, fmt.Errorf("inherit from a tableflip parent: fd %d has a name of %d parts, not 3", 5+i, len(name))
		}
		e := control.Entry{Role: control.Role(name[0]), Network: name[1], Address: []byte(name[2])}
		if e.Role == control.RoleFile {
			e.Name, e.Network = []byte(name[1]), ""
		}
		in.fds, in.files = append(in.fds, e), append(in.files, openInherited(5+i))
	}
	in.leases = []*lease{newLease(1, in.parentPID, names)}
	return in, nil
}

// openInherited returns an fd that came over exec, and keeps it from the next one.
func openInherited(fd int) *os.File {
	closeOnExec(fd)
	return os.NewFile(uintptr(fd), "inherited")
}

func (tableflipParent) announce(control.Claim) error { return nil }

// refuse hangs up without the byte; the parent says that the child exited.
func (p tableflipParent) refuse(error) { p.ready.Close() }

func (p tableflipParent) committed() error {
	defer p.ready.Close()
	if _, err := p.ready.Write([]byte{tableflipReady}); err != nil {
		return fmt.Errorf("tell the tableflip parent: %w", err)
	}
	return nil
}
