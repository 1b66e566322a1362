package tlsreload_test

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-e3b9a99f/baton/tlsreload"
)

// A fleet's key file gets a new key, which every instance accepts a minute before any issues with it.
func ExampleRotateKeyFile() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "ticket-keys")
	for range 2 {
		if err := tlsreload.RotateKeyFile(file, time.Now(), time.Minute, 4); err != nil {
			fmt.Println(err)
			return
		}
	}
	keys, err := tlsreload.NewTicketKeys(tlsreload.TicketOptions{File: file})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer keys.Close()
	s := keys.Status()
	fmt.Println("accepted:", s.Keys, "another issues in the future:", s.Next.After(time.Now()))
	// Output: accepted: 2 another issues in the future: true
}
