//go:build !linux && !darwin && !freebsd

package admin

import (
	"errors"
	"fmt"
	"net"
	"runtime"
)

func socketPeer(*net.UnixConn) (uid int, err error) {
	return -1, fmt.Errorf("%s does not tell: %w", runtime.GOOS, errors.ErrUnsupported)
}
