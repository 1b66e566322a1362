package config

import (
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

var nameShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// nameText is the name of a listener or an upstream: it stands in paths, logs and metrics.
func nameText(_, s string) (string, string) {
	if !nameShape.MatchString(s) {
		return "", fmt.Sprintf("%q is no name: give up to 64 letters, digits, - and _", s)
	}
	return s, ""
}

// filePath is absolute.
func filePath(folder, s string) (string, string) {
	switch {
	case s == "":
		return "", "" // as if the key were left out
	case filepath.IsAbs(s):
		return filepath.Clean(s), ""
	}
	return filepath.Join(folder, s), ""
}

// socketFile is the path of a Unix socket.
func socketFile(folder, s string) (string, string) {
	if s == "" {
		return "", ""
	}
	if strings.HasPrefix(s, "unix:") {
		return "", fmt.Sprintf("%q is an address: give the path alone", s)
	}
	return socketPath(folder, s, s)
}

// maxSocketPath is sockaddr_un's room for a path on Linux, less the zero byte at its end: unix(7).
const maxSocketPath = 107

// socketPath is s as an absolute path; written is what a mistake calls it.
func socketPath(folder, s, written string) (string, string) {
	if s == "" || strings.HasSuffix(s, "/") || strings.HasPrefix(s, "@") {
		scheme := strings.TrimSuffix(written, s)
		return "", fmt.Sprintf("%q names no socket: give a path such as %s/run/app.sock", written, scheme)
	}
	s, _ = filePath(folder, s)
	if len(s) > maxSocketPath {
		return "", fmt.Sprintf("%q has %d bytes: give a path of at most %d", s, len(s), maxSocketPath)
	}
	return s, ""
}

// urlPath is the path of a request.
func urlPath(_, s string) (string, string) {
	switch {
	case s == "":
		return "", ""
	case !strings.HasPrefix(s, "/"):
		return "", fmt.Sprintf("%q does not begin with a slash: give /%[1]s", s)
	case strings.ContainsAny(s, " \t\r\n#"):
		return "", fmt.Sprintf("%q is no path of a request: leave spaces and # out", s)
	}
	return s, ""
}

// pathPrefix is whole segments of a request's path, without a slash at its end unless it is "/".
func pathPrefix(_, s string) (string, string) {
	if s == "" {
		return "", `is empty: give a prefix such as /api, or leave the key out`
	}
	s, problem := urlPath("", s)
	if problem != "" {
		return "", problem
	}
	if strings.ContainsAny(s, "?*") {
		return "", fmt.Sprintf("%q is no prefix: leave ? and * out", s)
	}
	clean := path.Clean(s)
	if clean != s && clean+"/" != s {
		return "", fmt.Sprintf("%q is matched by no request: give %s", s, clean)
	}
	return clean, ""
}

func alpnName(_, s string) (string, string) {
	if s == "" || len(s) > 255 {
		return "", fmt.Sprintf("%q is no protocol's name for ALPN: give 1 to 255 bytes, such as mqtt", s)
	}
	return s, ""
}

// suggestion names the known word that was meant or, where none is near, all of them.
func suggestion(given string, known []string) string {
	if word := nearest(given, known); word != "" {
		return fmt.Sprintf("did you mean %s?", word)
	}
	return "give " + anyOf(known)
}

// nearest is the known word that is most like the given one; empty where none is.
func nearest(given string, known []string) string {
	if len(given) > 64 {
		return ""
	}
	best, found := max(len(given)/3, 1)+1, ""
	for _, word := range known {
		if n := distance(strings.ToLower(given), strings.ToLower(word)); n < best {
			best, found = n, word
		}
	}
	return found
}

// distance is Levenshtein's: how many characters to add, drop or change.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
