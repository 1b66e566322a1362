package figures_test

import (
	"fmt"
	"testing"

	"github.com/seed-e3b9a99f/baton/bench/internal/figures"
)

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567", -1000: "-1,000", -100: "-100",
	} {
		if got := figures.Thousands(n); got != want {
			t.Errorf("%d is written %s, not %s", n, got, want)
		}
	}
}

func ExampleMilliseconds() {
	fmt.Println(figures.Milliseconds(0), figures.Milliseconds(0.25), figures.Milliseconds(41.52), figures.Milliseconds(12345.6))
	// Output: 0.00 0.25 41.5 12,346
}
