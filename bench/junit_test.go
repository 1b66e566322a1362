package bench

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// What went wrong is said once, though an error's text has it too.
func TestJUnitSaysItOnce(t *testing.T) {
	loss := &lossError{Failure: Failure{EOFBeforeResponse, "EOF"}, cause: io.EOF}
	for _, c := range []struct {
		why  Failure
		err  error
		want string
	}{
		{loss.Failure, loss, "2 eof before response (EOF): EOF\n"},
		{Failure{Class: WrongStatus, Errno: "500"}, errors.New("status 500"), "2 wrong status (500): status 500\n"},
	} {
		r := Report{Verdict: Verdict{Lost: 2}}
		l := LaneReport{Lost: 2, Failures: []FailureCount{{c.why, 2, c.err.Error()}}}
		if got := r.laneCase(l, "1").Failure.Text; got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
		text := written(t, func(b *strings.Builder) error { r.Lanes = []LaneReport{l}; return WriteJUnit(b, r, nil) })
		if n := strings.Count(text, c.why.String()); n != 1 {
			t.Errorf("%q stands there %d times:\n%s", c.why, n, text)
		}
	}
}
