//go:build !unix

package control

import (
	"errors"
	"os"
	"time"
)

// Conn cannot be had on this platform.
type Conn struct{ state stateSender }

// New reports that this platform cannot pass fds.
func New(f *os.File) (*Conn, error) { return nil, errors.ErrUnsupported }

// Pair reports that this platform cannot pass fds.
func Pair() (*Conn, *os.File, error) { return nil, nil, errors.ErrUnsupported }

// File reports that this platform cannot pass fds.
func (c *Conn) File() (*os.File, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (c *Conn) Close() error { return nil }

// Send reports that this platform cannot pass fds.
func (c *Conn) Send(Message) error { return errors.ErrUnsupported }

// Receive reports that this platform cannot pass fds.
func (c *Conn) Receive() (Message, error) { return Message{}, errors.ErrUnsupported }

// SetReadDeadline reports that this platform cannot pass fds.
func (c *Conn) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }

// SetWriteDeadline reports that this platform cannot pass fds.
func (c *Conn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// WithFds reports that this platform cannot pass fds.
func WithFds([]*os.File, func([]int) error) error { return errors.ErrUnsupported }
