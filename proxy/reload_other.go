//go:build !unix

package proxy

import "os"

func reloadSignal(string) os.Signal { return nil }
