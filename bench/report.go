package bench

import (
	"encoding/json"
	"io"
	"time"
)

// SchemaVersion is the version of Report's JSON. It changes when a field changes its meaning or goes away, not when
// one is added.
const SchemaVersion = 1

// Report is the outcome of a run. Its JSON is a stable format: times carry their unit in their name.
type Report struct {
	Version  int       `json:"version"` // SchemaVersion
	Started  time.Time `json:"started"`
	Duration float64   `json:"duration_s"` // from the first operation's due time to the end of the schedule
	Rate     float64   `json:"rate_per_lane_per_s"`
	Conns    int       `json:"conns_per_lane"` // of the lanes whose connections persist
	Timeout  float64   `json:"timeout_s"`      // of one operation, from when it is sent

	// ClientWait is how long 99 of 100 times, at the most, the bench itself waited for a CPU whenever it had something
	// to do. Every operation takes a few such waits, and they are part of its latency.
	ClientWait float64 `json:"client_wait_p99_ms"`

	// Interrupted is set if the run was ended before its time, and InterruptedBy says why. The report then holds what was
	// counted so far.
	Interrupted   bool   `json:"interrupted"`
	InterruptedBy string `json:"interrupted_by,omitempty"`
	// Notes are what a person should know before reading on, as that a lane holds the server to an error's status.
	Notes []string `json:"notes,omitempty"`

	Lanes    []LaneReport `json:"lanes"`
	Upgrades []Upgrade    `json:"upgrades"`
	// LostBefore counts losses before the first upgrade, or all of them if there was none.
	LostBefore int64   `json:"lost_before_upgrades"`
	Verdict    Verdict `json:"verdict"`

	Plan string `json:"plan"` // what each lane did, for people, and for Merge to see that runs belong together
	Runs int    `json:"runs"` // how many runs this report adds up; 1 unless it comes from Merge

	// Step is how many seconds one point of each lane's Series covers: 1, and more in runs that are too long for that.
	Step float64 `json:"series_step_s"`
	// Lag is how far the client was behind its schedule, over all lanes: how late an operation began though its connection
	// was free, or was handed out to one that was not.
	Lag Latency `json:"schedule_lag"`
	// Kernel is what the client's kernel counted during the run, or nil where it does not say.
	Kernel *Kernel `json:"kernel,omitempty"`
}

// Kernel is what a kernel counted in some time. It counts for the whole network namespace, whoever's connections they
// were: that of the bench, and of the server too where both run on one machine.
type Kernel struct {
	ListenOverflows int64 `json:"listen_overflows"`  // connections not accepted, since an accept queue was full
	ListenDrops     int64 `json:"listen_drops"`      // the same for any reason, a full queue included
	BacklogDrops    int64 `json:"tcp_backlog_drops"` // segments dropped, since their socket's backlog was full
	RetransSegs     int64 `json:"retrans_segs"`      // segments sent again, SYNs included
	SynRetrans      int64 `json:"syn_retrans"`       // SYNs and SYN-ACKs sent again
	Timeouts        int64 `json:"tcp_timeouts"`      // retransmission timers that ran out
}

// LaneReport is what one kind of client met.
type LaneReport struct {
	Name       string `json:"name"`
	Operations int64  `json:"operations"` // all that were due: OK + Lost + ClientLimited
	OK         int64  `json:"ok"`
	Lost       int64  `json:"lost"`
	// Allowed is how many of Lost do not count for the verdict, and AllowedBecause says why.
	Allowed        int64  `json:"allowed"`
	AllowedBecause string `json:"allowed_because,omitempty"`
	// ClientLimited is how many operations the client's own machine could not carry out.
	ClientLimited int64 `json:"client_limited"`
	// Late is how many operations began much too late though their connection was free, and LatestStart is the worst.
	// Both are the client's doing; see Plan.LateAfter.
	Late        int64   `json:"late"`
	LatestStart float64 `json:"latest_start_ms"`

	Opened int64 `json:"connections_opened"`
	// Reopened is how many of Opened took the place of a connection that the server closed as its protocol allows,
	// before anything was sent on it that could be lost.
	Reopened int64 `json:"connections_reopened"`

	// Handshakes counts TLS handshakes: full ones, and those that resumed a session. Both are 0 without TLS.
	HandshakesFull    int64 `json:"tls_handshakes_full"`
	HandshakesResumed int64 `json:"tls_handshakes_resumed"`

	Failures []FailureCount `json:"failures"` // by falling count

	// Latency of the operations that succeeded, from when they were due.
	Steady    Latency `json:"latency_steady"`
	Upgrading Latency `json:"latency_upgrading"`

	// HiddenByRetry is how many of Lost a client that retries would have hidden.
	HiddenByRetry int64 `json:"hidden_by_retry"`
	// Refused is how many of Lost an HTTP/2 server said it has not processed.
	Refused int64 `json:"refused"`
	// Duplicates is how many operations the server has shown to have received more than once.
	Duplicates int64 `json:"duplicates"`
	// LossBound is the fraction under which the loss rate lies with 95 % confidence, given OK and Lost: the upper end of
	// Clopper and Pearson's one-sided interval. See LossText.
	LossBound float64 `json:"loss_rate_upper_95"`

	// Stall is the longest time without any success while operations were due, and StallAt when it began, from the start
	// of the run.
	Stall   float64 `json:"longest_stall_ms"`
	StallAt float64 `json:"longest_stall_at_s"`

	// Before, During and After hold each operation once. It is During if it touched an upgrade's window, Before if it was
	// over before the first upgrade, and After otherwise.
	Before Window `json:"before_upgrades"`
	During Window `json:"during_upgrades"`
	After  Window `json:"after_upgrades"`

	Series []Point `json:"series"` // by time

	// Losses has them one by one, by time: the first LossesPerClass of each class. LossesOmitted is how many more there were.
	Losses        []Loss `json:"losses"`
	LossesOmitted int64  `json:"losses_omitted"`

	Lag          Latency   `json:"schedule_lag"` // see Report.Lag
	LagHistogram Histogram `json:"schedule_lag_histogram"`

	// Retransmits is what the kernel sent again on the TCP connections that the lane showed to it before they were closed
	// (see Tapped), and Watched is how many these were.
	Retransmits int64 `json:"tcp_retransmits"`
	Watched     int64 `json:"connections_watched"`
}

// Window is what a lane met in one part of a run.
type Window struct {
	Operations    int64     `json:"operations"`
	OK            int64     `json:"ok"`
	Lost          int64     `json:"lost"`
	ClientLimited int64     `json:"client_limited"`
	Latency       Latency   `json:"latency"`
	Histogram     Histogram `json:"histogram"` // of Latency
}

// Point is what a lane met in one step of time. An operation belongs to the step in which it was over.
type Point struct {
	At         float64   `json:"at_s"` // when the step began, from the start of the run
	Operations int64     `json:"operations"`
	Lost       int64     `json:"lost"`
	Reopened   int64     `json:"reopened"`
	P50        float64   `json:"p50_ms"` // 0 if nothing succeeded
	P99        float64   `json:"p99_ms"`
	Max        float64   `json:"max_ms"`
	Histogram  Histogram `json:"histogram"` // to two significant digits
}

// LossesPerClass bounds how many losses of a class a lane keeps one by one.
const LossesPerClass = 1000

// Loss is one lost operation.
type Loss struct {
	Failure
	At      float64 `json:"at_s"`       // when it was seen, from the start of the run
	Latency float64 `json:"latency_ms"` // from when it was due until then
	// Upgrade is the number of the upgrade that was triggered last before it, 0 if there was none. Within is set if the
	// operation touched an upgrade's window.
	Upgrade int  `json:"upgrade"`
	Within  bool `json:"within_upgrade"`
	// Generation is what the server called itself in the answer, or else who answered on the newest connection then.
	Generation string `json:"generation,omitempty"`
	Hidden     bool   `json:"hidden_by_retry"`
	Refused    bool   `json:"refused"`
	Duplicate  bool   `json:"duplicate"`
	Sample     string `json:"sample"` // the error's text
}

// FailureCount is how many operations failed in one way.
type FailureCount struct {
	Failure
	Count  int64  `json:"count"`
	Sample string `json:"sample"` // the first one's error
}

// Latency sums up a set of operations. The quantiles are 0 if Count is.
type Latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

// Upgrade is one upgrade as it looked from outside. Times count from the trigger; 0 means that it did not happen.
type Upgrade struct {
	Number    int     `json:"number"` // from 1
	At        float64 `json:"at_s"`   // when it was triggered, from the start of the run
	Triggered float64 `json:"triggered_ms"`
	Serving   float64 `json:"serving_ms"`  // the new generation was seen to serve, by SeenBy
	PIDFile   float64 `json:"pid_file_ms"` // the pidfile named another process

	SeenBy Sign `json:"seen_by,omitempty"` // "" if Serving is 0

	FromGeneration string `json:"from_generation,omitempty"`
	ToGeneration   string `json:"to_generation,omitempty"`
	FromPID        int    `json:"from_pid,omitempty"`
	ToPID          int    `json:"to_pid,omitempty"`

	Lost  int64  `json:"lost"`            // from this trigger until the next
	Error string `json:"error,omitempty"` // why it failed; "" if it did not

	// Until is when the upgrade's window ended, from the start of the run. 0: it was still under way when the run ended.
	Until float64 `json:"until_s"`
	// Kernel is what the client's kernel counted from this trigger until the next, or nil where it does not say.
	Kernel *Kernel `json:"kernel,omitempty"`
	// Event is what was done, and what it cost the server. What is only known later (when the old process was gone, and
	// the usage) is added at the end of the run. Events that are no KindUpgrade, or have a Fault, have no Serving.
	Event *Event `json:"event,omitempty"`
}

// Verdict is what the run comes to.
type Verdict struct {
	Pass bool `json:"pass"`
	// VoidRuns is how many of Report.Runs were void.
	VoidRuns int `json:"void_runs"`
	// Void: the client's own limits spoilt the run, so that a pass would mean nothing.
	Void          bool   `json:"void"`
	Requests      int64  `json:"requests"`
	Lost          int64  `json:"lost"` // without what is allowed
	Allowed       int64  `json:"allowed"`
	MaxLost       int64  `json:"max_lost"`
	FailedUpgrade int    `json:"failed_upgrades"`
	Line          string `json:"line"` // for people
}

// WriteJSON writes the report as one indented JSON document.
func (r Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
