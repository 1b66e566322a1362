package page

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/seed-e3b9a99f/baton/bench"
)

// histogram has n operations of each latency in microseconds.
func histogram(t testing.TB, n int64, latencies ...int64) bench.Histogram {
	t.Helper()
	h := hdrhistogram.New(1, 600_000_000, 3)
	for _, l := range latencies {
		if err := h.RecordValues(l, n); err != nil {
			t.Fatal(err)
		}
	}
	b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		t.Fatal(err)
	}
	return bench.Histogram(b)
}

// sample is a report with something of everything.
func sample(t testing.TB) bench.Report {
	t.Helper()
	lane := bench.LaneReport{
		Name: `http "new" </script>`, Operations: 12_345, OK: 12_344, Lost: 1, HiddenByRetry: 1, LossBound: 3.8e-4, Stall: 41.5,
		Steady: bench.Latency{Count: 100, P999: 7.75, Max: 77.7}, Upgrading: bench.Latency{Count: 20, P50: 8.25, Max: 88.8},
		Before: bench.Window{Histogram: histogram(t, 100, 250, 300)}, During: bench.Window{Histogram: histogram(t, 10, 900, 20_000)},
		Losses: []bench.Loss{{Failure: bench.Failure{Class: bench.ResetBeforeResponse, Errno: "ECONNRESET"}, At: 2.1, Upgrade: 1, Hidden: true, Sample: "reset before response (ECONNRESET): read: connection reset <b>"}},
	}
	for i := range 5 {
		lane.Series = append(lane.Series, bench.Point{At: float64(i), Operations: 10, P50: .3, P99: .9, Max: 20})
	}
	lane.Series[2].Lost = 1
	quiet := lane
	quiet.Name, quiet.Lost, quiet.Losses = "tcp long", 0, nil
	return bench.Report{
		Version: bench.SchemaVersion, Started: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Duration: 5, Rate: 400, Conns: 50,
		Runs: 1, Step: 1, Plan: "two lanes", Lanes: []bench.LaneReport{lane, quiet}, Kernel: &bench.Kernel{RetransSegs: 7},
		Upgrades: []bench.Upgrade{
			{Number: 1, At: 1, Until: 1.5, Serving: 12, FromPID: 10, ToPID: 11, Lost: 1, Event: &bench.Event{
				Kind: bench.KindUpgrade, OldGone: 1234, Usage: &bench.ProcessUsage{
					ProcessesPeak: 3, GenerationsPeak: 2, RSSBefore: 1000, RSSPeak: 1900, CPU: .25}}},
			{Number: 2, At: 2, Until: 2.5, Event: &bench.Event{Kind: bench.KindRotate, Effective: 36.1}},
			{Number: 3, At: 3, Until: 3.5, Event: &bench.Event{Kind: bench.KindUpgrade, Fault: bench.FaultHang, FaultEnded: 5000}},
			{Number: 4, At: 4, Error: "it did not come", Event: &bench.Event{Kind: bench.KindReload, OldAlive: true}},
		},
		Verdict: bench.Verdict{Requests: 24_690, Lost: 1, Line: "FAIL: 1 of 24,690 requests lost"},
	}
}

func written(t testing.TB, r bench.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWrite(t *testing.T) {
	text := written(t, sample(t))
	for _, want := range []string{
		"FAIL: 1 of 24,690 requests lost", "12,345", "reset-before-response", "it did not come", "ECONNRESET", "3.8e-04",
		"rotation 2</th>", "<td>36.1</td>", "bad binary: hang, which ended after 5,000 ms", "<td>1,234</td>", "<td>3</td><td>2</td><td>1.9x</td><td>0.25 s</td>",
		"still alive", "upgrades</span>, ", "rotations</span>, ", "those that failed</span>.", `<td class="text">read: connection reset &lt;b&gt;</td>`, "<td>7.75</td><td>77.7</td><td>8.25</td>", "<td>88.8</td>",
		`"lost":[null,null,1,null,null]`, "http &#34;new&#34; &lt;/script&gt;",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q on the page", want)
		}
	}
	if n := strings.Count(text, "</script>"); n != 3 {
		t.Errorf("%d ends of scripts: a lane's name got out of its place", n)
	}
	if found := regexp.MustCompile(`(?i)(src|href)\s*=|@import|https?://[a-z]+\.[a-z]+/[^ ]*\.(js|css|woff)`).FindString(text); found != "" {
		t.Errorf("the page asks for something from outside: %s", found)
	}
}

func TestHistogramBars(t *testing.T) {
	counts, err := bucketCounts(histogram(t, 3, 250, 250, 9_000_000))
	if err != nil {
		t.Fatal(err)
	}
	var all int64
	for i, n := range counts {
		if all += n; n > 0 && i > 0 && bounds[i] < .25 {
			t.Errorf("%d operations in the bar up to %v ms", n, bounds[i])
		}
	}
	if all != 9 {
		t.Errorf("%d operations, want 9", all)
	}
	if _, err := bucketCounts("garbage"); err == nil {
		t.Error("garbage is a histogram")
	}
}

// An empty run has nothing to draw, and still a page.
func TestWriteWithoutOperations(t *testing.T) {
	if text := written(t, bench.Report{}); !strings.Contains(text, "None.") {
		t.Error("no page")
	}
}

func lookChromium(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on this machine: apt-get install chromium")
	}
	return path
}

func chromiumFlags(t *testing.T) []string {
	return []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir=" + t.TempDir(), "--window-size=1280,2400",
	}
}

func saved(t *testing.T, page string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// chromium draws the page as people see it.
func chromium(t *testing.T, page string, args ...string) []byte {
	t.Helper()
	path := lookChromium(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, slices.Concat(chromiumFlags(t), args,
		[]string{"--virtual-time-budget=5000", "--enable-logging=stderr", "file://" + saved(t, page)})...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Fatalf("chromium: %v\n%s", err, &errs)
	}
	if strings.Contains(errs.String(), "CONSOLE") {
		t.Errorf("the page's scripts complain:\n%s", &errs)
	}
	return out
}

// Every panel is drawn.
func TestChromiumDrawsEveryPanel(t *testing.T) {
	dom := string(chromium(t, written(t, sample(t)), "--dump-dom"))
	for _, id := range []string{"latency", "losses", "lane-0", "lane-1"} {
		if !regexp.MustCompile(`(?s)<div[^>]*id="` + id + `"[^>]*>(.*?)<canvas`).MatchString(dom) {
			t.Errorf("%s is not drawn", id)
		}
	}
}
