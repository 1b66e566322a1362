package bench

import (
	"errors"
	"fmt"
	"time"
)

// StartTime is when a run begins that was told by --start-at (RFC 3339), as one of several machines that begin at one
// time, or by --start-in, which no two runs agree on. Both empty: the zero time, for at once. The machines' clocks must
// agree about as well as the runs are to. It is what Plan.StartAt wants.
func StartTime(at string, in time.Duration, now time.Time) (time.Time, error) {
	switch {
	case at != "" && in != 0:
		return time.Time{}, errors.New("--start-at, --start-in: give one of them")
	case in < 0:
		return time.Time{}, fmt.Errorf("--start-in=%v: give a duration above zero, such as 10s", in)
	case in > 0:
		return now.Add(in), nil
	case at == "":
		return time.Time{}, nil
	}
	start, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return time.Time{}, fmt.Errorf("--start-at=%q: give a time as 2026-01-31T15:04:05Z", at)
	}
	if start.Before(now) {
		return time.Time{}, fmt.Errorf("--start-at=%s was %s ago: give a time that lies ahead of when the last of the runs is ready "+
			"(and see that the clocks agree)", at, about(now.Sub(start)))
	}
	return start, nil
}

// about rounds a duration to what a person wants to know of it.
func about(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	default:
		return d.Round(time.Millisecond).String()
	}
}
