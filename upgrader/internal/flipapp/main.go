// Command flipapp runs a program as tableflip's README tells users to write it, for the bench to measure: as it is, or
// with the import path replaced by Baton's.
package main

import (
	"flag"
	"log"

	"github.com/seed-e3b9a99f/baton/upgrader/internal/flipapp/original"
	"github.com/seed-e3b9a99f/baton/upgrader/internal/flipapp/replaced"
)

func main() {
	address := flag.String("http", "127.0.0.1:8080", "address for HTTP")
	pidFile := flag.String("pid-file", "flipapp.pid", "file that names the process in charge")
	baton := flag.Bool("baton", false, "run on Baton's upgrader")
	flag.Parse()
	run := original.Main
	if *baton {
		run = replaced.Main
	}
	if err := run(*address, *pidFile); err != nil {
		log.Fatal(err)
	}
}
