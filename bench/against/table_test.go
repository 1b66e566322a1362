package against

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-e3b9a99f/baton/bench"
)

// sample has each kind of outcome: all six lanes, four, refused upgrades, a void run, a skip, an error.
func sample() []Outcome {
	lane := func(name string, lost, opened, full int64, steady, upgrading, longest float64) bench.LaneReport {
		return bench.LaneReport{
			Name: name, Operations: 3600, Lost: lost, Opened: opened, HandshakesFull: full,
			Steady:    bench.Latency{Count: 1, P99: steady, Max: steady},
			Upgrading: bench.Latency{Count: 1, P99: upgrading, Max: longest},
		}
	}
	refused := []bench.Upgrade{{Number: 1}, {Number: 2, Error: "no new generation within 5s"}, {Number: 3, Error: "so"}}
	return []Outcome{
		{Peer: "baton", What: "Baton's library", Setup: []string{"its defaults"}, Drain: 1.5, Processes: 1, Most: 1,
			Report: &bench.Report{
				Conns: 50,
				Lanes: []bench.LaneReport{
					lane("http new", 0, 3600, 0, 0.91, 1.2, 9), lane("http keep-alive", 0, 50, 0, 0.5, 0.7, 3),
					lane("https new", 0, 3600, 3600, 2.5, 3.04, 12.4), lane("https keep-alive", 0, 300, 50, 0.5, 0.9, 3),
					lane("tcp long", 0, 50, 0, 0.3, 0.4, 1), lane("tcp new", 0, 3600, 0, 0.8, 0.9, 2),
				},
				Upgrades: []bench.Upgrade{{Number: 1}, {Number: 2}},
				Verdict:  bench.Verdict{Requests: 21600, Pass: true},
			}},
		{Peer: "endless", What: "endless", Processes: 1, Most: 2, Report: &bench.Report{
			Conns: 50,
			Lanes: []bench.LaneReport{
				lane("http new", 0, 3600, 0, 1, 2, 3), lane("http keep-alive", 3, 300, 0, 1, 2, 3),
				lane("https new", 0, 3600, 3600, 1, 2, 1234), lane("https keep-alive", 30, 300, 300, 1, 2, 3),
				{Name: "custom", Late: 40, ClientLimited: 2},
			},
			Upgrades: refused,
			Verdict:  bench.Verdict{Requests: 14400, Lost: 33, Void: true}, ClientWait: 31.5,
		}},
		{Peer: "tableflip", What: "tableflip", Report: &bench.Report{
			Conns: 50, Lanes: []bench.LaneReport{lane("tcp long", 1300, 1350, 0, 1, 0, 1)},
			Upgrades: refused,
			Verdict:  bench.Verdict{Requests: 3600, Lost: 1300, FailedUpgrade: 2},
		}, Error: "stop: killed"},
		{Peer: "nginx-hup", What: "nginx", Skipped: "nginx is not installed: apt-get install nginx"},
		{Peer: "caddy", What: "Caddy", Error: "start caddy: not ready within 20s"},
	}
}

func TestTables(t *testing.T) {
	var text, markdown, doc bytes.Buffer
	for file, write := range map[string]func() (*bytes.Buffer, error){
		"table.txt":  func() (*bytes.Buffer, error) { return &text, Table(&text, sample()) },
		"table.md":   func() (*bytes.Buffer, error) { return &markdown, Markdown(&markdown, sample()) },
		"table.json": func() (*bytes.Buffer, error) { return &doc, WriteJSON(&doc, sample()[3:]) },
	} {
		got, err := write()
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
	}
}

func TestJSONReadsBack(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, sample()); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Version int
		Peers   []Outcome
	}
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Version != SchemaVersion || len(back.Peers) != 5 || back.Peers[0].Report.Lanes[3].Opened != 300 {
		t.Errorf("read back %+v", back)
	}
}
