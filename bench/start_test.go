package bench

import (
	"strings"
	"testing"
	"time"
)

// However long ago a start was, a person can read it.
func TestStartThatIsOver(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		1500 * time.Millisecond:               " was 1.5s ago:",
		90 * time.Second:                      " was 1m30s ago:",
		59*time.Minute + time.Millisecond:     " was 59m0s ago:",
		47*time.Hour + 59*time.Minute:         " was 47 hours ago:",
		60379*time.Hour + 17*time.Minute + 38: " was 2515 days ago:",
	} {
		at := now.Add(-ago).Format(time.RFC3339Nano)
		if _, err := StartTime(at, 0, now); err == nil || !strings.Contains(err.Error(), at+want) {
			t.Errorf("%v: %v, want %q", ago, err, want)
		}
	}
}
