//go:build !unix

package bench

// RaiseFileLimit does nothing: there is no such limit here.
func RaiseFileLimit() {}
