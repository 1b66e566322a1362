// Package control is the channel between two generations of a service: versioned frames over one inherited Unix
// socket, with file descriptors beside them.
//
// A frame is a header of 16 bytes and a payload. Frames of kinds that this release does not know are handed to the
// caller, who skips them; a newer minor version may add kinds and JSON fields, and set flag bits. A different major
// version is an error, because it means that the two releases cannot hand a service over to each other.
package control

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// Version of the protocol that this release speaks.
const (
	Major = 1
	Minor = 0
)

// Kind says what a frame means.
type Kind uint8

// The kinds of frames, and who sends them.
const (
	Hello     Kind = 1  // both, first: JSON Greeting
	Files     Kind = 2  // parent: JSON []Entry, with one fd for each
	State     Kind = 3  // parent: a piece of a named blob
	Complete  Kind = 4  // parent: every fd and blob has been sent
	Ready     Kind = 5  // child: JSON Claim; it can serve
	Refused   Kind = 6  // child: JSON Reason; it cannot serve
	Probation Kind = 7  // parent: accept connections now
	Commit    Kind = 8  // parent: the service is yours, take the pidfile
	Committed Kind = 9  // child: it is mine
	Abort     Kind = 10 // parent: JSON Reason; stop, I have taken the service back
	Pass      Kind = 11 // parent: JSON Passed; a signal that reached the wrong generation
	Successor Kind = 12 // child: JSON Greeting and one fd, the channel to the generation that follows it
	Parcel    Kind = 13 // parent: a live connection, acked one by one
	ParcelAck Kind = 14 // child
)

// MaxFiles is how many fds go with one frame. Linux allows 253 (SCM_MAX_FD, unix(7)).
const MaxFiles = 252

// MaxPayload is how many bytes a frame carries, well under the default send buffer of a Unix socket.
const MaxPayload = 60 << 10

const (
	headerSize = 16
	flagMore   = 1 << 0 // the blob goes on in the next frame
)

var magic = [2]byte{'b', 't'}

// Message is one frame. Whoever receives it owns its Files and closes them.
type Message struct {
	Kind    Kind
	More    bool // the payload goes on in the next frame of this kind
	Seq     uint32
	Payload []byte
	Files   []*os.File
}

// VersionError says that the other side speaks another major version of the protocol.
type VersionError struct{ Major, Minor uint8 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the other generation speaks control protocol %d.%d, this one %d.%d: "+
		"upgrade by way of a release that speaks both, or restart", e.Major, e.Minor, Major, Minor)
}

// ErrFrame says that bytes on the channel are no frame.
var ErrFrame = errors.New("malformed control frame")

// ErrLostFiles says that fds of a frame had no room in this process's table, and are lost (recvmsg(2)). The channel
// goes on.
var ErrLostFiles = errors.New("raise the limit of open files (ulimit -n)")

func appendHeader(b []byte, m Message) []byte {
	var flags byte
	if m.More {
		flags |= flagMore
	}
	b = append(b, magic[0], magic[1], Major, Minor, byte(m.Kind), flags)
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.Files)))
	b = binary.BigEndian.AppendUint32(b, m.Seq)
	return binary.BigEndian.AppendUint32(b, uint32(len(m.Payload)))
}

// header is a frame's first 16 bytes, checked.
type header struct {
	kind    Kind
	more    bool
	files   int
	seq     uint32
	payload int
}

func parseHeader(b []byte) (header, error) {
	if len(b) < headerSize || b[0] != magic[0] || b[1] != magic[1] {
		return header{}, fmt.Errorf("%w: no header in %d bytes", ErrFrame, len(b))
	}
	if b[2] != Major {
		return header{}, &VersionError{Major: b[2], Minor: b[3]}
	}
	h := header{
		kind:  Kind(b[4]),
		more:  b[5]&flagMore != 0,
		files: int(binary.BigEndian.Uint16(b[6:])),
		seq:   binary.BigEndian.Uint32(b[8:]),
	}
	if h.files > MaxFiles {
		return header{}, fmt.Errorf("%w: %d fds, at most %d", ErrFrame, h.files, MaxFiles)
	}
	size := binary.BigEndian.Uint32(b[12:])
	if size > MaxPayload { // before it is an int, which has 32 bits on some platforms
		return header{}, fmt.Errorf("%w: a payload of %d bytes, at most %d", ErrFrame, size, MaxPayload)
	}
	h.payload = int(size)
	return h, nil
}
