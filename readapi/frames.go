package readapi

import "encoding/binary"

// Opcodes of RFC 6455 section 5.2.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

// controlBytesMax is the longest payload of a control frame (RFC 6455 section 5.5).
const controlBytesMax = 125

// appendHeader begins a whole, unmasked, uncompressed frame with a payload of n bytes.
//
// Frames are made here rather than by the library's writer so that many of them go out in one
// write, a write that stalls can be continued where it stopped, and everything that a socket sends
// passes through its one writer.
func appendHeader(dst []byte, op byte, n int) []byte {
	dst = append(dst, 0x80|op)
	switch {
	case n <= 125:
		return append(dst, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
}

func appendFrame(dst []byte, op byte, payload []byte) []byte {
	return append(appendHeader(dst, op, len(payload)), payload...)
}

// appendClose makes a close frame; code 0 has no payload.
func appendClose(dst []byte, code int, reason string) []byte {
	if code == 0 {
		return appendFrame(dst, opClose, nil)
	}
	payload := binary.BigEndian.AppendUint16(nil, uint16(code))
	if len(reason) > controlBytesMax-2 {
		reason = reason[:controlBytesMax-2]
	}
	return appendFrame(dst, opClose, append(payload, reason...))
}

// countFrames counts the frames that appendFrame put into b.
func countFrames(b []byte) int {
	n := 0
	for len(b) >= 2 {
		head, size := frameSize(b)
		b = b[head+size:]
		n++
	}
	return n
}

// AppendText appends a text frame to dst.
func AppendText(dst, text []byte) []byte { return appendFrame(dst, opText, text) }

// AppendTextHeader begins a text frame; its n bytes must follow in dst.
func AppendTextHeader(dst []byte, n int) []byte { return appendHeader(dst, opText, n) }
