package bench

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
)

// What a client needs of RFC 6455, section 5.2: frames with their mask out, and without one in.

const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

type webSocketFrame struct {
	final   bool
	op      byte
	payload []byte
}

// appendFrame appends a client's frame, whose payload is masked.
func appendFrame(dst []byte, op byte, payload []byte) []byte {
	const final, masked = 0x80, 0x80
	dst = append(dst, final|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, masked|byte(n))
	case n <= 0xffff:
		dst = binary.BigEndian.AppendUint16(append(dst, masked|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, masked|127), uint64(n))
	}
	var mask [4]byte
	binary.LittleEndian.PutUint32(mask[:], rand.Uint32())
	dst = append(dst, mask[:]...)
	for i, b := range payload {
		dst = append(dst, b^mask[i%4])
	}
	return dst
}

// readFrame reads a server's frame. Frames longer than what the bench compares are refused, before they are read.
func readFrame(br *bufio.Reader) (*webSocketFrame, *lossError) {
	var head [8]byte
	if _, err := io.ReadFull(br, head[:2]); err != nil {
		return nil, classify(phaseRead, err)
	}
	f := &webSocketFrame{final: head[0]&0x80 != 0, op: head[0] & 0x0f}
	switch {
	case head[0]&0x70 != 0:
		return nil, wrong("a frame with reserved bits %#x", head[0])
	case head[1]&0x80 != 0:
		return nil, wrong("a masked frame from the server")
	case f.op > opPong, f.op > opBinary && f.op < opClose:
		return nil, wrong("a frame with the unknown opcode %d", f.op)
	case f.op >= opClose && (!f.final || head[1] > 125):
		return nil, wrong("a control frame that is cut, or too long")
	case f.op == opClose && head[1] == 1:
		return nil, wrong("a close frame with half a code")
	}
	size, least := uint64(head[1]), uint64(0)
	var wide []byte
	switch size {
	case 126:
		wide, least = head[6:], 126
	case 127:
		wide, least = head[:], 1<<16
	}
	if wide != nil {
		if _, err := io.ReadFull(br, wide); err != nil {
			return nil, classify(phaseRead, err)
		}
		if len(wide) == 2 {
			size = uint64(binary.BigEndian.Uint16(wide))
		} else {
			size = binary.BigEndian.Uint64(wide)
		}
	}
	switch {
	case size < least:
		return nil, wrong("a frame of %d bytes, whose length takes more bytes than it needs", size)
	case size > maxCompared:
		return nil, wrong("a frame of %d bytes", size)
	}
	f.payload = make([]byte, size)
	if _, err := io.ReadFull(br, f.payload); err != nil {
		return nil, classify(phaseRead, err)
	}
	return f, nil
}

// closed is the loss that a close frame means.
func (f *webSocketFrame) closed() *lossError {
	code, reason := 1005, "" // no code: RFC 6455, section 7.1.5
	if len(f.payload) >= 2 {
		code, reason = int(binary.BigEndian.Uint16(f.payload)), string(f.payload[2:])
	}
	return &lossError{
		Failure: Failure{WebSocketClosed, strconv.Itoa(code)},
		cause:   fmt.Errorf("the server closed the WebSocket: %d %q", code, clip([]byte(reason))),
	}
}
