package tlsreload

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/tickets"
)

// RotateKeyFile adds a new key, which issues from now+lead, to the key file that a fleet shares, and drops the oldest
// beyond keep, but never the one that issues now, nor, with a lead, one that is still to issue. A missing file is made,
// with a key that issues at once.
//
// lead must be long enough for every instance to have the new file before anyone issues with the new key: the time that
// the file takes to reach the last of them, TicketOptions.Interval, and what their clocks differ by. With a lead of 0
// the new key issues at once, in the place of those still to issue; keep 1 then leaves no other, so that no ticket that
// was issued before resumes.
//
// The file is replaced whole, by rename; it keeps its owner, gets mode 0600, and loses its comments. Two calls at the
// same time may lose one of the two keys. After an error the file is as it was.
func RotateKeyFile(path string, now time.Time, lead time.Duration, keep int) error {
	if err := rotateKeyFile(path, now, lead, keep); err != nil {
		return fmt.Errorf("rotate ticket keys: %w", err)
	}
	return nil
}

func rotateKeyFile(path string, now time.Time, lead time.Duration, keep int) error {
	if lead < 0 {
		return fmt.Errorf("a lead of %v is negative: give a duration such as 1m, or 0", lead)
	}
	if keep < 1 || keep > tickets.Max {
		return fmt.Errorf("keep %d of them: give 1 to %d", keep, tickets.Max)
	}
	// What a symbolic link names is replaced, not the link.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	text, err := readKeyFile(path)
	var keys []tickets.Key
	switch {
	case errors.Is(err, fs.ErrNotExist):
		lead = 0
	case err != nil:
		return err
	default:
		if keys, err = parseKeys(path, text); err != nil {
			return err
		}
	}
	if keys, err = rotated(keys, now, lead, keep); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return replaceFile(path, formatKeys(keys))
}

// rotated returns keys, in any order, with a new one and without those that nobody needs, newest first.
func rotated(keys []tickets.Key, now time.Time, lead time.Duration, keep int) ([]tickets.Key, error) {
	// The file's times are in whole seconds. A key that is to wait must not issue early.
	from := now.Add(lead).UTC().Truncate(time.Second)
	if lead > 0 && from.Before(now.Add(lead)) {
		from = from.Add(time.Second)
	}
	if slices.ContainsFunc(keys, func(k tickets.Key) bool { return k.From.Equal(from) }) {
		return nil, fmt.Errorf("a key that issues from %s is there already: try again a second later",
			from.Format(time.RFC3339))
	}
	keys = append(slices.Clone(keys), tickets.NewKey(from))
	if lead == 0 {
		keys = slices.DeleteFunc(keys, func(k tickets.Key) bool { return k.From.After(now) })
	}
	slices.SortFunc(keys, func(a, b tickets.Key) int { return b.From.Compare(a.From) })
	keys = keys[:min(len(keys), max(keep, tickets.Issuing(keys, now)+1))]
	if len(keys) > tickets.Max {
		return nil, fmt.Errorf("%d keys are still to issue: rotate less often, or with a shorter lead", tickets.Max-1)
	}
	return keys, nil
}

func formatKeys(keys []tickets.Key) []byte {
	var b strings.Builder
	b.WriteString("# TLS session ticket keys: the time from which each issues, and the key. Keep it secret.\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "%s %s\n", k.From.UTC().Format(time.RFC3339Nano), base64.StdEncoding.EncodeToString(k.Secret[:]))
	}
	return []byte(b.String())
}

// replaceFile writes a file of mode 0600 whole: whoever reads path reads the old one or the new one.
func replaceFile(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := keepOwner(f, path); err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
