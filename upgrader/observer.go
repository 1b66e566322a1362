package upgrader

import "sync"

// observer tells a program of phases in order, without the machine waiting for it.
type observer struct {
	tell func(PhaseChange)

	mu      sync.Mutex
	queue   []PhaseChange
	running bool
	idle    chan struct{} // closed when the queue is empty; nil while nobody waits
}

func (o *observer) add(c PhaseChange) {
	if o.tell == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, c)
	if !o.running {
		o.running = true
		go o.run()
	}
}

func (o *observer) run() {
	for {
		o.mu.Lock()
		if len(o.queue) == 0 {
			o.running = false
			if o.idle != nil {
				close(o.idle)
				o.idle = nil
			}
			o.mu.Unlock()
			return
		}
		c := o.queue[0]
		o.queue = o.queue[1:]
		o.mu.Unlock()
		o.tell(c)
	}
}

// flushed returns a channel that is closed when the program has been told of everything so far.
func (o *observer) flushed() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.running {
		done := make(chan struct{})
		close(done)
		return done
	}
	if o.idle == nil {
		o.idle = make(chan struct{})
	}
	return o.idle
}
