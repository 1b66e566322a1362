//go:build unix

package control_test

import (
	"fmt"
	"io"
	"os"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/control"
)

// The parent passes a named fd to its child; here both are in one process.
func Example() {
	parent, inherited, err := control.Pair()
	if err != nil {
		fmt.Println(err)
		return
	}
	child, err := control.New(inherited)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer child.Close()

	entries := []control.Entry{{Role: control.RoleFile, Name: []byte("null")}}
	if err := passNull(parent, entries); err != nil {
		fmt.Println(err)
		return
	}
	parent.Close()

	m, err := child.Receive()
	if err != nil {
		fmt.Println(err)
		return
	}
	got, err := control.DecodeFiles(m)
	fmt.Println(m.Kind == control.Files, string(got[0].Name), err)
	for _, f := range m.Files {
		f.Close()
	}
	_, err = child.Receive()
	fmt.Println(err == io.EOF)
	// Output:
	// true null <nil>
	// true
}

func passNull(parent *control.Conn, entries []control.Entry) error {
	f, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer f.Close()
	return parent.SendFiles(entries, []*os.File{f})
}
