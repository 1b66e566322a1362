package against_test

import (
	"fmt"
	"log"

	"github.com/seed-e3b9a99f/baton/bench/against"
)

func ExampleSelect() {
	peers, err := against.Select("overseer,nginx")
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range peers {
		fmt.Println(p.Name + ": " + p.What)
	}
	// Output:
	// overseer: overseer v1.1.6, SIGUSR2 to its master
	// nginx-hup: nginx in front of the upstream, HUP (reload)
	// nginx-usr2: nginx in front of the upstream, USR2 and then QUIT (binary upgrade)
}
