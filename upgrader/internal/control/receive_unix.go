//go:build unix

package control

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Receive reads one frame. It returns io.EOF, as it is, when the other side has closed its end or died. A frame that lost
// fds is returned without any, for those who can refuse it, with ErrLostFiles.
func (c *Conn) Receive() (Message, error) {
	if c.readErr != nil {
		return Message{}, c.readErr
	}
	h, payload, files, err := c.readFrame()
	if err != nil {
		closeAll(files)
		if !errors.Is(err, ErrLostFiles) {
			return Message{}, err
		}
		files = nil
	}
	return Message{Kind: h.kind, More: h.more, Seq: h.seq, Payload: bytes.Clone(payload), Files: files}, err
}

// readFrame returns a frame's parts; the payload is the connection's buffer. On an error too the caller owns the files.
func (c *Conn) readFrame() (h header, payload []byte, files []*os.File, err error) {
	first := c.in
	if c.stream {
		first = c.in[:headerSize]
	}
	n, files, flags, err := c.recvmsg(first)
	if err != nil {
		return h, nil, files, err
	}
	if c.stream {
		h, err = c.readRest(n)
		n = headerSize + h.payload
	} else {
		h, err = parseHeader(c.in[:n])
	}
	switch {
	case err != nil:
	case flags&unix.MSG_TRUNC != 0 || n != headerSize+h.payload:
		err = fmt.Errorf("%w: %d bytes of payload, the header says %d", ErrFrame, n-headerSize, h.payload)
	case len(files) > h.files:
		err = fmt.Errorf("%w: %d fds, the header says %d", ErrFrame, len(files), h.files)
	// A frame that lost fds on the way (no room in this process's table, recvmsg(2)) must not be acted on.
	case len(files) < h.files || flags&unix.MSG_CTRUNC != 0:
		err = fmt.Errorf("control frame of kind %d: %d of %d fds arrived: %w", h.kind, len(files), h.files, ErrLostFiles)
	}
	if err != nil && !errors.Is(err, ErrLostFiles) {
		return h, nil, files, err
	}
	return h, c.in[headerSize:n], files, err
}

// recvmsg reads once, with the fds that came along.
func (c *Conn) recvmsg(b []byte) (n int, files []*os.File, flags int, err error) {
	// A peer that closes its end, or dies, before it has read all that we sent, resets the channel; and on a
	// SOCK_SEQPACKET Linux reports that, once, before the peer's last frames, which are still in the queue.
	for range 2 {
		var oobn int
		n, oobn, flags, _, err = c.uc.ReadMsgUnix(b, c.oob)
		files = receivedFiles(c.oob[:oobn])
		if !errors.Is(err, unix.ECONNRESET) {
			break
		}
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	return n, files, flags, gone(err)
}

// readRest reads what is missing of a stream's frame after its first n bytes. When it fails the next byte may be
// anywhere in a frame, so that this was the last.
func (c *Conn) readRest(n int) (header, error) {
	_, err := io.ReadFull(c.uc, c.in[n:headerSize])
	var h header
	if err == nil {
		h, err = parseHeader(c.in[:headerSize])
	}
	if err == nil {
		_, err = io.ReadFull(c.uc, c.in[headerSize:headerSize+h.payload])
	}
	c.readErr = gone(err)
	return h, c.readErr
}

// gone returns io.EOF for whatever says that the peer has closed its end: in the midst of a frame that is its death.
func gone(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) {
		return io.EOF
	}
	return err
}
