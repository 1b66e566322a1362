//go:build unix

package pidfile

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/synctest"
)

func TestCheck(t *testing.T) {
	path := newPath(t)
	if err := Check(path); err != nil {
		t.Error("nothing there:", err)
	}
	owner := start(t, "create", path)
	owner.run("done")
	wantRunning(t, Check(path), owner.pid())
	wantRunning(t, Check(path, os.Getpid(), 0), owner.pid())
	if err := Check(path, os.Getpid(), owner.pid()); err != nil {
		t.Error("the owner is allowed:", err)
	}
	owner.kill()
	for range 2 { // a look takes nothing
		if err := Check(path); err != nil {
			t.Error("a killed process's file:", err)
		}
	}
	remove(t, create(t, path))
}

// Somebody who looks at a stale file locks it for a moment. That must not refuse a start.
func TestLookDisturbsNoStart(t *testing.T) {
	path := newPath(t)
	stale := fmt.Sprintf("%d\n", deadPID(t))
	if err := os.WriteFile(path, []byte(stale), 0o644); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		looker := lockedByOther(t, path)
		created := make(chan *File, 1)
		go func() {
			f, err := prepare(t, path).Create()
			if err != nil {
				t.Error(err)
			}
			created <- f
		}()
		synctest.Wait() // until it sleeps over the lock
		looker.Close()
		if f := <-created; f != nil {
			remove(t, f)
		}
	})
}

// A look that opens one generation's file and locks it when the next has replaced it, so that nobody else does, must
// not take the service for dead.
func TestCheckWhileReplaced(t *testing.T) {
	path := newPath(t)
	f := create(t, path)
	stop := make(chan struct{})
	var lookers sync.WaitGroup
	for range 4 {
		lookers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					wantRunning(t, Check(path), os.Getpid())
				}
			}
		})
	}
	for range 200 {
		next, err := prepare(t, path).Replace()
		if err != nil {
			t.Fatal(err)
		}
		remove(t, f)
		f = next
	}
	close(stop)
	lookers.Wait()
	remove(t, f)
}

// An owner that this process cannot see, in another pid namespace, is an owner all the same.
func TestInvisibleOwner(t *testing.T) {
	path := newPath(t, "service.pid")
	dead := deadPID(t)
	for content, pid := range map[string]int{
		fmt.Sprintln(dead): dead, "": 0, "-5\n": 0, "what\n": 0, "99999999999999999999\n": 0,
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			defer lockedByOther(t, path).Close()
			err := Check(path, 0, -5)
			var running *RunningError
			if !errors.As(err, &running) || running.PID != pid {
				t.Errorf("%q: %v", content, err)
			}
		})
	}
}

// lockedByOther takes path's lock, as another process would.
func lockedByOther(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := openThere(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock(f); err != nil {
		t.Fatal(err)
	}
	return f
}
