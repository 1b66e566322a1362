package bench

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// crew runs goroutines whose panics end the run with an error, and not the process: whoever started a server for the
// run must get to stop it.
type crew struct {
	sync.WaitGroup
	fail context.CancelCauseFunc
}

func (c *crew) Go(f func()) {
	c.Add(1)
	go func() {
		defer c.Done()
		defer func() {
			if v := recover(); v != nil {
				c.fail(panicError{fmt.Errorf("panic: %v\n%s", v, debug.Stack())})
			}
		}()
		f()
	}()
}

type panicError struct{ error }
