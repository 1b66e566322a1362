package control

import (
	"encoding/json"
	"fmt"
	"os"
)

// Greeting is the payload of Hello and Successor.
type Greeting struct {
	Generation int `json:"generation"` // of the process that is told: the child's in the parent's Hello
	PID        int `json:"pid"`        // of the process that sends it; of the successor in Successor
}

// Role says what an inherited fd is for.
type Role string

// The roles of fds. The last four are the channel's own.
const (
	RoleListener   Role = "listener"
	RolePacketConn Role = "packet"
	RoleConn       Role = "conn"
	RoleFile       Role = "fd"
	RoleLease      Role = "lease"       // the read end of a pipe that ends when generation Generation has gone
	RoleAncestor   Role = "ancestor"    // a control channel from an older generation that still drains
	RoleStderr     Role = "stderr"      // where the service's standard error really goes
	RoleStderrPipe Role = "stderr-pipe" // the read end of the child's standard error until it commits
)

// Entry describes one fd of a Files frame. Names and addresses are bytes, since a path need not be UTF-8.
type Entry struct {
	Role       Role   `json:"role"`
	Name       []byte `json:"name,omitempty"`
	Network    string `json:"network,omitempty"`
	Address    []byte `json:"address,omitempty"` // as it was asked for, so that ":0" finds its port again
	Protocol   string `json:"protocol,omitempty"`
	Generation int    `json:"generation,omitempty"`
	PID        int    `json:"pid,omitempty"`
}

// Claim is the payload of Ready: what the child uses, so that the parent can drain the rest. Paths are bytes.
type Claim struct {
	Indexes []int    `json:"claimed"`         // of the entries it was sent, in order of arrival; not checked here
	Paths   [][]byte `json:"paths,omitempty"` // of the Unix sockets that the child uses, however it got them
}

// Reason is the payload of Refused and Abort.
type Reason struct {
	Text string `json:"reason"`
}

// Passed is the payload of Pass: what the signal asked for, since the map of signals may differ between releases.
type Passed struct {
	Action string `json:"action"`
}

// Encode returns v as a payload.
func Encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err)) // the types above always marshal
	}
	return b
}

// Decode reads a JSON payload into v. Unknown fields are left alone: a newer release may send them.
func Decode(m Message, v any) error {
	if err := json.Unmarshal(m.Payload, v); err != nil {
		return fmt.Errorf("%w: kind %d: %w", ErrFrame, m.Kind, err)
	}
	return nil
}

// SendFiles sends entries and their fds in as many frames as they need. The caller still owns the files.
func (c *Conn) SendFiles(entries []Entry, files []*os.File) error {
	if len(entries) != len(files) {
		return fmt.Errorf("send fds: %d files with %d names", len(files), len(entries))
	}
	for len(entries) > 0 {
		n := min(len(entries), MaxFiles)
		payload := Encode(entries[:n])
		for len(payload) > MaxPayload && n > 1 {
			n /= 2
			payload = Encode(entries[:n])
		}
		if err := c.Send(Message{Kind: Files, Payload: payload, Files: files[:n]}); err != nil {
			return err
		}
		entries, files = entries[n:], files[n:]
	}
	return nil
}

// DecodeFiles returns the entries of a Files frame, one for each of its fds. On an error too the caller owns m.Files.
func DecodeFiles(m Message) ([]Entry, error) {
	var entries []Entry
	if err := Decode(m, &entries); err != nil {
		return nil, err
	}
	if len(entries) != len(m.Files) {
		return nil, fmt.Errorf("%w: %d fds came with %d names", ErrFrame, len(m.Files), len(entries))
	}
	return entries, nil
}
