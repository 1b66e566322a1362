package bench

import "strconv"

// payloadSize is the size in bytes of what echo lanes and POSTs send.
const payloadSize = 128

// payload appends to dst a line that no other operation of the run sends, so that bytes which went astray between two
// connections, or came twice, are never taken for the right ones. It is printable and ends in a newline, for servers
// that echo line by line.
func payload(dst []byte, lane string, client int, seq int64) []byte {
	start := len(dst)
	dst = append(dst, lane...)
	dst = append(dst, '#')
	dst = strconv.AppendInt(dst, int64(client), 10)
	dst = append(dst, '/')
	dst = strconv.AppendInt(dst, seq, 10)
	dst = append(dst, ' ')
	x := uint64(seq)*0x9e3779b97f4a7c15 + uint64(client) + 1
	for len(dst)-start < payloadSize-1 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		dst = append(dst, 'a'+byte(x%26))
	}
	return append(dst[:start+payloadSize-1], '\n')
}
