package bench

import (
	"context"
	"fmt"
	"time"
)

// Sign is by what it was seen that a new generation serves; see Upgrades. The strings are part of the JSON schema.
type Sign string

const (
	SignGeneration Sign = "generation" // a response named another one
	SignPIDFile    Sign = "pidfile"    // it named another process
	SignWorkers    Sign = "workers"    // the process in the pidfile stayed, and had started others
	SignAnswer     Sign = "answer"     // to a request that was sent after the trigger had returned
)

// takeover is an upgrade under way, as it is watched from outside.
type takeover struct {
	*driver
	u        *Upgrade
	begun    time.Time
	deadline time.Time        // when a pidfile that has not changed will not
	triggers <-chan error     // nil when the trigger has returned
	arrived  <-chan arrival   // another generation
	answered <-chan time.Time // an answer, where that is the only sign
	workers  map[int]uint64   // of the process in the pidfile, at the trigger: pid to start
	renewed  float64          // when it was seen to have new ones, as Upgrade.Serving
	looked   time.Time        // for them
}

// upgrade triggers one upgrade and watches it until it is over, has failed, or ctx is done.
func (d *driver) upgrade(ctx context.Context, n int) Upgrade {
	u, begun := d.begin(n)
	defer d.end()
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()

	t := &takeover{driver: d, u: &u, begun: begun, deadline: begun.Add(max(d.Interval-d.Settle, d.patience))}
	was, arrived := d.seen.expect(begun)
	if d.foreign {
		was = ""
	}
	u.FromGeneration, t.arrived = was, arrived
	t.workers = d.census.children(u.FromPID)
	triggered := make(chan error, 1)
	t.triggers = triggered
	go func() { triggered <- d.Trigger(ctx) }()
	poll := time.NewTicker(pidPoll)
	defer poll.Stop()
	for {
		select {
		case err := <-t.triggers:
			if err != nil {
				u.Error = err.Error()
				if ctx.Err() != nil {
					u.Error = t.why()
				}
				return u
			}
			t.triggers = nil
			u.Triggered = t.since(time.Now())
			if was == "" && d.PIDFile == "" {
				t.answered = d.seen.await(time.Now())
			}
		case a := <-t.arrived:
			u.ToGeneration = a.generation
			t.serves(SignGeneration, t.since(a.at))
		case at := <-t.answered:
			t.serves(SignAnswer, t.since(at))
		case <-poll.C:
			t.lookAtPIDFile()
			t.lookForWorkers()
		case <-ctx.Done():
			if t.triggers != nil {
				<-t.triggers
			} else if t.settleInPlace() {
				return u
			}
			u.Error = t.why()
			return u
		}
		if t.over() {
			return u
		}
	}
}

// over reports whether there is nothing to wait for any more.
func (t *takeover) over() bool {
	switch u := t.u; {
	case t.triggers != nil:
		return false
	case t.inPlace && t.settleInPlace():
		return true
	case u.Serving > 0 && (t.PIDFile == "" || u.ToPID != 0):
		return true
	case time.Now().Before(t.deadline):
		return false
	case u.Serving == 0 && u.ToPID != 0: // the header is that of another server
		t.foreign = true
		u.FromGeneration = ""
		t.serves(SignPIDFile, u.PIDFile)
		return true
	default:
		return t.settleInPlace()
	}
}

// settleInPlace takes the server for one that keeps its pid, if something else shows that it was upgraded.
func (t *takeover) settleInPlace() bool {
	if t.u.Serving == 0 && t.u.FromGeneration == "" && t.renewed > 0 {
		t.serves(SignWorkers, t.renewed)
	}
	t.inPlace = t.inPlace || t.u.Serving > 0
	return t.u.Serving > 0
}

// minMS stands for a time too short to measure, since 0 means that something did not happen.
const minMS = 0.001

// since is the time from the trigger in milliseconds.
func (t *takeover) since(begun time.Time) float64 { return max(ms(begun.Sub(t.begun)), minMS) }

func (t *takeover) serves(by Sign, after float64) { t.u.SeenBy, t.u.Serving = by, after }

func (t *takeover) lookAtPIDFile() {
	u := t.u
	if u.ToPID != 0 {
		return
	}
	pid, err := t.pid()
	if err != nil || pid == u.FromPID {
		return // unreadable for the moment, while somebody replaces it
	}
	u.ToPID = pid
	u.PIDFile = t.since(time.Now())
	if u.FromGeneration == "" {
		t.serves(SignPIDFile, u.PIDFile)
	}
}

// workersPoll is how often new workers are looked for, which takes a look at every process.
const workersPoll = 50 * time.Millisecond

// lookForWorkers looks for new children of a process that had some, as a master of workers has.
func (t *takeover) lookForWorkers() {
	if now := time.Now(); t.triggers != nil || len(t.workers) == 0 || t.renewed > 0 || now.Sub(t.looked) < workersPoll {
		return
	}
	t.looked = time.Now()
	all, err := readProcesses()
	if err != nil {
		return
	}
	for pid, started := range childrenAmong(all, t.u.FromPID) {
		if t.workers[pid] != started {
			t.renewed = t.since(t.looked)
		}
	}
}

// why says why an upgrade was not over in time.
func (t *takeover) why() string {
	switch u := t.u; {
	case t.triggers != nil:
		return t.tooLong()
	case u.FromGeneration != "":
		return fmt.Sprintf("no new generation within %v: generation %s still answers", t.Timeout, u.FromGeneration)
	case t.PIDFile == "":
		return fmt.Sprintf("nothing has answered within %v", t.Timeout)
	case !alive(u.FromPID):
		return fmt.Sprintf("pid %d has ended, and %s names no other within %v", u.FromPID, t.PIDFile, t.Timeout)
	default:
		return fmt.Sprintf("no new generation within %v: %s still names pid %d (for a server that keeps its pid, "+
			"upgrade by a command and give no pidfile)", t.Timeout, t.PIDFile, u.FromPID)
	}
}

func (d *driver) tooLong() string { return fmt.Sprintf("the command did not end within %v", d.Timeout) }

func (d *driver) pid() (int, error) {
	if d.PIDFile == "" {
		return 0, nil
	}
	return readPID(d.PIDFile)
}

// livePID returns an error unless the process that the pidfile names runs.
func livePID(path string) error {
	pid, err := readPID(path)
	if err == nil && !alive(pid) {
		err = fmt.Errorf("%s names pid %d, which does not run: is it left over from before?", path, pid)
	}
	return err
}
