//go:build !linux

package bench

import "syscall"

func readKernel() (Kernel, bool) { return Kernel{}, false }

func retransmits(syscall.RawConn) (int64, bool) { return 0, false }
