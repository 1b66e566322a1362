package main

import (
	"fmt"
	"os"
	"time"

	"github.com/seed-e3b9a99f/baton/tlsreload"
)

// ticketKeysCmd changes a file of session ticket keys that a fleet shares.
type ticketKeysCmd struct {
	File string        `arg:"" help:"The key file. It is made if there is none."`
	Lead time.Duration `default:"10m" placeholder:"D" help:"How long every server accepts the new key before one issues with it: longer than it takes to bring the file to all (${default})."`
	Keep int           `default:"4" placeholder:"N" help:"How many keys the file has at most; 1 with --lead 0s ends every session (${default})."`
}

// Validate is called by kong.
func (k *ticketKeysCmd) Validate() error {
	switch {
	case k.Lead < 0:
		return fmt.Errorf("--lead=%s: give a duration such as 10m, or 0s", k.Lead)
	case k.Keep < 1 || k.Keep > 64:
		return fmt.Errorf("--keep=%d: give 1 to 64", k.Keep)
	}
	return nil
}

func (k *ticketKeysCmd) Run(s streams) error {
	_, missing := os.Stat(k.File)
	now := time.Now()
	if err := tlsreload.RotateKeyFile(k.File, now, k.Lead, k.Keep); err != nil {
		return err
	}
	from := now.Add(k.Lead)
	if missing != nil { // nobody has an older key
		from = now
	}
	_, err := fmt.Fprintf(s.out, "%s has a new key, which issues tickets from %s\n", k.File, from.UTC().Format(time.RFC3339))
	return err
}
