package upgrader

import "sync"

// work counts what a drain waits for beside connections: the functions that Go runs, and Serve.
type work struct {
	mu     sync.Mutex
	n      int
	empty  chan struct{} // closed when n is 0; nil while nobody waits
	failed error         // of the first function that returned an error
}

func (w *work) add() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
}

func (w *work) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n--
	if w.n == 0 && w.empty != nil {
		close(w.empty)
		w.empty = nil
	}
}

func (w *work) wait() {
	w.mu.Lock()
	if w.n == 0 {
		w.mu.Unlock()
		return
	}
	if w.empty == nil {
		w.empty = make(chan struct{})
	}
	empty := w.empty
	w.mu.Unlock()
	<-empty
}

// Go runs fn in a goroutine that a drain waits for, up to its deadline. An error stops the service, and is what Run
// returns. A function that serves a named listener returns by itself when Accept says net.ErrClosed; which is not an
// error here.
func (u *Upgrader) Go(fn func() error) {
	u.work.add()
	go func() {
		defer u.work.end()
		if err := fn(); err != nil && !isClosed(err) {
			u.fail(err)
		}
	}()
}

// fail stops the service because a part of it cannot go on.
func (u *Upgrader) fail(err error) {
	u.work.mu.Lock()
	first := u.work.failed == nil
	if first {
		u.work.failed = err
	}
	u.work.mu.Unlock()
	if first {
		u.log.Error("a part of the service failed", "err", err)
		u.Stop()
	}
}

func (u *Upgrader) failure() error {
	u.work.mu.Lock()
	defer u.work.mu.Unlock()
	return u.work.failed
}
