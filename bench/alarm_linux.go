package bench

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timerfd is an alarm good to some 50 µs. time.Sleep is late by half a millisecond here, because epoll_wait counts in
// milliseconds, and that would stand in every latency.
type timerfd struct {
	file *os.File
	raw  interface{ Control(func(uintptr)) error }
	buf  [8]byte
}

// newAlarm returns an alarm that the caller closes.
func newAlarm() alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return sleeper{}
	}
	t := &timerfd{file: os.NewFile(uintptr(fd), "timerfd")}
	if t.raw, err = t.file.SyscallConn(); err != nil {
		t.file.Close()
		return sleeper{}
	}
	return t
}

func (t *timerfd) sleep(d time.Duration) {
	var err error
	setErr := t.raw.Control(func(fd uintptr) {
		err = unix.TimerfdSettime(int(fd), 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil)
	})
	if setErr != nil || err != nil {
		time.Sleep(d)
		return
	}
	if _, err := t.file.Read(t.buf[:]); err != nil {
		time.Sleep(d)
	}
}

func (t *timerfd) close() { t.file.Close() }
