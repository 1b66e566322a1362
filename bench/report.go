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

	// Interrupted is set if the run was ended before its time. It then holds what was counted so far.
	Interrupted bool `json:"interrupted"`

	Lanes    []LaneReport `json:"lanes"`
	Upgrades []Upgrade    `json:"upgrades"`
	// LostBefore counts losses before the first upgrade, or all of them if there was none.
	LostBefore int64   `json:"lost_before_upgrades"`
	Verdict    Verdict `json:"verdict"`
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
	Serving   float64 `json:"serving_ms"`  // the new generation was seen to serve
	PIDFile   float64 `json:"pid_file_ms"` // the pidfile named another process

	FromGeneration string `json:"from_generation,omitempty"`
	ToGeneration   string `json:"to_generation,omitempty"`
	FromPID        int    `json:"from_pid,omitempty"`
	ToPID          int    `json:"to_pid,omitempty"`

	Lost  int64  `json:"lost"`            // from this trigger until the next
	Error string `json:"error,omitempty"` // why it failed; "" if it did not
}

// Verdict is what the run comes to.
type Verdict struct {
	Pass bool `json:"pass"`
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
