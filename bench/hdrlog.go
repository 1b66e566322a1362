package bench

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// WriteHDRLog writes the lanes' series as an HdrHistogram interval log, which that family's tools read and draw. Each
// lane has its name as tag, with "-" for what a tag cannot hold. Values are microseconds, and the column of maxima is in
// milliseconds. Steps in which nothing succeeded have no line.
func WriteHDRLog(w io.Writer, r Report) error {
	type line struct {
		at   float64
		text string
	}
	var lines []line
	for _, l := range r.Lanes {
		for _, p := range l.Series {
			if p.Histogram != "" {
				lines = append(lines, line{p.At, fmt.Sprintf("Tag=%s,%.3f,%.3f,%.3f,%s\n", tagOf(l.Name), p.At, r.Step, p.Max, p.Histogram)})
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })

	buf := bufio.NewWriter(w)
	log := hdrhistogram.NewHistogramLogWriter(buf)
	// What goes into a bufio.Writer fails at the end or not at all.
	log.OutputComment("[baton bench: " + oneLine(r.Plan) + "]")
	log.OutputLogFormatVersion()
	fmt.Fprintf(buf, "#[StartTime: %.3f (seconds since epoch), %s]\n", float64(r.Started.UnixMilli())/1000,
		r.Started.UTC().Format("2006-01-02T15:04:05Z"))
	log.OutputLegend()
	for _, l := range lines {
		buf.WriteString(l.text)
	}
	return buf.Flush()
}

// tagOf is a lane's name without what a log or a benchmark's name cannot hold.
func tagOf(name string) string {
	return strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r <= ' ' || r == ',' || r == '/' || r == '=' }), "-")
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
