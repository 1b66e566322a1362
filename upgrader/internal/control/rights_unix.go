//go:build unix

package control

import (
	"os"

	"golang.org/x/sys/unix"
)

// receivedFiles takes ownership of the fds in a control message, close-on-exec as ReadMsgUnix has set them.
func receivedFiles(oob []byte) []*os.File {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "inherited"))
		}
	}
	return files
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// WithFds calls fn with the descriptors of files, which stay open and in their blocking mode meanwhile.
func WithFds(files []*os.File, fn func(fds []int) error) error {
	return withFds(files, make([]int, 0, len(files)), fn)
}

func withFds(files []*os.File, fds []int, fn func(fds []int) error) error {
	if len(files) == 0 {
		return fn(fds)
	}
	raw, err := files[0].SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) {
		inner = withFds(files[1:], append(fds, int(fd)), fn)
	}); err != nil {
		return err
	}
	return inner
}
