//go:build unix

package pidfile_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/pidfile"
)

func Example() {
	dir, err := os.MkdirTemp("", "pidfile")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	pending, err := pidfile.Prepare(filepath.Join(dir, "service.pid"))
	if err != nil {
		fmt.Println(err)
		return
	}
	file, err := pending.Create() // or Replace, as the next generation of a running service
	if err != nil {
		fmt.Println(err)
		return
	}
	content, err := os.ReadFile(file.Path())
	fmt.Println(string(content) == fmt.Sprintln(os.Getpid()), err)
	fmt.Println(file.Remove())
	// Output:
	// true <nil>
	// <nil>
}
