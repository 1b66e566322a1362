package against

import (
	"encoding/json"
	"io"

	"github.com/seed-e3b9a99f/baton/bench"
)

// Outcome is what one peer's clients met. Its JSON is a stable format, as that of [bench.Report].
type Outcome struct {
	Peer  string   `json:"peer"`
	What  string   `json:"what"`
	Setup []string `json:"setup"`

	// Drain is [Options.Drain]; 0: each peer's own.
	Drain float64 `json:"drain_s"`

	// Skipped says why the peer was not run, and Error what went wrong with it: in both cases there is no report.
	Skipped string `json:"skipped,omitempty"`
	Error   string `json:"error,omitempty"`

	Report *bench.Report `json:"report,omitempty"`
	// Processes is how many the peer had before the run, and Most how many at once during it, as seen once a second: what
	// is more still drained.
	Processes int `json:"processes"`
	Most      int `json:"processes_most"`
}

// SchemaVersion is the version of WriteJSON's format. It changes when a field changes its meaning or goes away.
const SchemaVersion = 1

// WriteJSON writes the outcomes as one indented JSON document.
func WriteJSON(w io.Writer, outcomes []Outcome) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Version int       `json:"version"`
		Peers   []Outcome `json:"peers"`
	}{SchemaVersion, outcomes})
}
