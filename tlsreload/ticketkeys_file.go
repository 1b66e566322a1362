package tlsreload

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/seed-e3b9a99f/baton/internal/tickets"
)

// maxKeyFile is in bytes: room for every key that can be kept, and for many comments.
const maxKeyFile = 64 << 10

// readSettled reads a key file until two readings in a row agree, since somebody may be writing it, or it is what is
// known already. An error of pause, which waits between two readings, ends it.
func readSettled(path string, known []byte, pause func() error) ([]byte, error) {
	const readings = 20
	text, err := readKeyFile(path)
	for range readings {
		if err == nil && known != nil && bytes.Equal(text, known) {
			return text, nil
		}
		if err := pause(); err != nil {
			return nil, err
		}
		again, againErr := readKeyFile(path)
		if fmt.Sprint(err) == fmt.Sprint(againErr) && bytes.Equal(text, again) {
			return text, err
		}
		text, err = again, againErr
	}
	return nil, fmt.Errorf("read %s: it changes all the time: put a new file in its place by rename", path)
}

func readKeyFile(path string) ([]byte, error) {
	text, info, err := readRegular(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("read %s: mode %#o lets others than its owner at the keys: chmod 600 it", path, mode)
	}
	return text, nil
}

// parseKeys reads the lines of a key file. Its errors quote none of the text, which may be a key in the wrong place.
func parseKeys(path string, text []byte) ([]tickets.Key, error) {
	var keys []tickets.Key
	var lines []int
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, err := parseKey(line)
		for i, k := range keys {
			if err == nil && k.From.Equal(key.From) {
				err = fmt.Errorf("the time of line %d again: give each key another", lines[i])
			}
			if err == nil && k.Secret == key.Secret {
				err = fmt.Errorf("the key of line %d again: make a new one", lines[i])
			}
		}
		if err == nil && len(keys) == tickets.Max {
			err = fmt.Errorf("more than %d keys: remove the oldest", tickets.Max)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s:%d: %w", path, n, err)
		}
		keys, lines = append(keys, key), append(lines, n)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("read %s:%d: no key in it", path, max(1, n))
	}
	return keys, nil
}

func parseKey(line string) (tickets.Key, error) {
	var k tickets.Key
	fields := strings.Fields(line)
	if len(fields) != 2 {
		return k, errors.New("a line is a time, a space, and a key")
	}
	from, err := time.Parse(time.RFC3339, fields[0])
	if err != nil || from.UTC().Year() < 0 || from.UTC().Year() > 9999 {
		return k, errors.New("the time is not as RFC 3339 has it, such as 2006-01-02T15:04:05Z")
	}
	k.From = from
	secret, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil {
		return k, errors.New("the key is not base64")
	}
	if len(secret) != len(k.Secret) {
		return k, fmt.Errorf("the key has %d bytes, not %d", len(secret), len(k.Secret))
	}
	copy(k.Secret[:], secret)
	return k, nil
}
