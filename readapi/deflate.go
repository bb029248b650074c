package readapi

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"strings"
	"sync"
)

// deflateBytesMin is from which size on a frame is worth compressing.
const deflateBytesMin = 256

// opCompressed marks a frame as compressed: the first reserved bit (RFC 7692 section 6).
const opCompressed = 0x40

const perMessageDeflate = "permessage-deflate"

// offersDeflate reports whether a client offers compression in a form that we can keep: any window
// for itself, but no bound on ours, which the standard library's compressor does not have.
func offersDeflate(extensions string) bool {
	for offer := range strings.SplitSeq(extensions, ",") {
		name, parameters, _ := strings.Cut(offer, ";")
		if strings.TrimSpace(name) == perMessageDeflate && !strings.Contains(parameters, "server_max_window_bits") {
			return true
		}
	}
	return false
}

// deflater compresses one message at a time. It is some 700 KB, hence shared; a socket has one only
// while it compresses a batch.
type deflater struct {
	w   *flate.Writer
	out bytes.Buffer
}

var deflaters = sync.Pool{New: func() any {
	d := &deflater{}
	d.w, _ = flate.NewWriter(&d.out, flate.BestSpeed) // fails for a bad level only
	return d
}}

// appendDeflated appends the frames to dst, long text frames compressed, each for itself: neither
// side keeps a window between messages, so that a socket costs no memory for it.
func appendDeflated(dst, frames []byte) []byte {
	d := deflaters.Get().(*deflater)
	defer deflaters.Put(d)
	for len(frames) >= 2 {
		head, size := frameSize(frames)
		whole, payload := frames[:head+size], frames[head:head+size]
		frames = frames[head+size:]
		if whole[0] != 0x80|opText || size < deflateBytesMin {
			dst = append(dst, whole...)
			continue
		}
		compressed := d.deflate(payload)
		if len(compressed) >= size {
			dst = append(dst, whole...)
			continue
		}
		dst = appendHeader(dst, opCompressed|opText, len(compressed))
		dst = append(dst, compressed...)
	}
	return dst
}

// deflate returns p compressed, valid until the next call. The four bytes that every flush ends with
// are left out, as RFC 7692 section 7.2.1 has it.
func (d *deflater) deflate(p []byte) []byte {
	d.out.Reset()
	d.w.Reset(&d.out)
	_, _ = d.w.Write(p) // a buffer takes everything
	_ = d.w.Flush()
	return bytes.TrimSuffix(d.out.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// frameSize reads the header of a frame that appendHeader made: its length and that of the payload.
func frameSize(b []byte) (head, size int) {
	switch size := int(b[1] & 0x7f); size {
	case 126:
		return 4, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		return 10, int(binary.BigEndian.Uint64(b[2:]))
	default:
		return 2, size
	}
}
