// Package figures writes numbers for people, the same in every table of the bench.
package figures

import (
	"fmt"
	"strconv"
)

// Thousands writes n with commas.
func Thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Milliseconds writes about three digits, which is what the histograms hold.
func Milliseconds(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f", ms)
	default:
		return Thousands(int64(ms + 0.5))
	}
}
