package bench

import "golang.org/x/sys/unix"

// adoptOrphans makes the descendants of this process whose parent has ended its own children, so that they can be
// waited for. See prctl(2), PR_SET_CHILD_SUBREAPER.
func adoptOrphans(on bool) {
	var set uintptr
	if on {
		set = 1
	}
	unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, set, 0, 0, 0)
}
