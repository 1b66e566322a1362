package stream

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// readHeader takes the PROXY header (v1 or v2) that a trusted proxy begins with, and returns the address that its client
// wanted. See https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt.
func (c *conn) readHeader(timeout time.Duration, local netip.AddrPort) (netip.AddrPort, error) {
	_ = c.SetReadDeadline(time.Now().Add(timeout))
	r := bufio.NewReader(c.Conn)
	h, err := parseHeader(r)
	if err != nil {
		return local, fmt.Errorf("no PROXY header from %s, which is a trusted network: %w", c.Source.Addr(), err)
	}
	_ = c.SetReadDeadline(time.Time{})
	c.early, _ = r.Peek(r.Buffered())
	if h.Command.IsLocal() { // the proxy's own, such as a health check
		return local, nil
	}
	if source := addrPort(h.SourceAddr); source.IsValid() {
		c.Source = source
	}
	if wanted := addrPort(h.DestinationAddr); wanted.IsValid() {
		return wanted, nil
	}
	return local, nil
}

// parseHeader reads a PROXY header and nothing that follows it.
func parseHeader(r *bufio.Reader) (*proxyproto.Header, error) {
	head, err := headerBytes(r)
	if err != nil {
		return nil, err
	}
	return proxyproto.Read(bufio.NewReader(bytes.NewReader(head)))
}

// headerBytes waits for a whole header, however the network splits it: package proxyproto wants one of version 1 in one
// read.
func headerBytes(r *bufio.Reader) ([]byte, error) {
	const lineMost = 107 // bytes, as the specification has it
	first, err := r.Peek(1)
	if err != nil {
		return nil, err
	}
	if first[0] == proxyproto.SIGV2[0] {
		return binaryHeader(r)
	}
	var line []byte
	for len(line) < lineMost {
		b, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		if i := len(line); i < len(proxyproto.SIGV1) && b != proxyproto.SIGV1[i] {
			return nil, proxyproto.ErrNoProxyProtocol
		}
		if line = append(line, b); b == '\n' {
			return line, nil
		}
	}
	return nil, proxyproto.ErrVersion1HeaderTooLong
}

func binaryHeader(r *bufio.Reader) ([]byte, error) {
	head := make([]byte, 16)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(head, proxyproto.SIGV2) {
		return nil, proxyproto.ErrNoProxyProtocol
	}
	// What a proxy says of a client without an address (such as one on a Unix socket) package proxyproto takes for LOCAL
	// alone; the specification leaves it to the receiver.
	const proxy, local, unspecified = 0x21, 0x20, 0x00
	if head[12] == proxy && head[13] == unspecified {
		head[12] = local
	}
	length := binary.BigEndian.Uint16(head[14:])
	if length > proxyproto.MaxV2HeaderSize {
		return nil, proxyproto.ErrInvalidLength
	}
	head = append(head, make([]byte, length)...)
	_, err := io.ReadFull(r, head[16:])
	return head, err
}
