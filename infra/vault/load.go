package vault

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"quipu/domain"
	"quipu/infra/durable"
)

// load reads the whole table, cuts off a torn end and reports damage before it.
func (t *fileTable) load(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return durable.Failure("open key table", t.path, err)
	}
	head := make([]byte, min(info.Size(), int64(len(tableHeader))))
	if _, err := f.ReadAt(head, 0); err != nil && len(head) > 0 {
		return durable.Failure("open key table", t.path, err)
	}
	if !strings.HasPrefix(tableHeader, string(head)) {
		return domain.E(domain.KindCorrupt, "open key table", t.path, "is not a key table of this version")
	}
	if len(head) < len(tableHeader) { // new, or its first start was cut short
		if _, err := f.WriteAt([]byte(tableHeader), 0); err != nil {
			return durable.Failure("create key table", t.path, err)
		}
		t.size = int64(len(tableHeader))
		return nil
	}
	t.size = int64(len(tableHeader))
	// A window of two frames always holds a whole one at its start, if there is one.
	window := make([]byte, 0, 2*frameBytesMax)
	for next := t.size; ; {
		n, err := f.ReadAt(window[len(window):cap(window)], next)
		if err != nil && err != io.EOF {
			return durable.Failure("open key table", t.path, err)
		}
		window = window[:len(window)+n]
		next += int64(n)
		used := t.takeFrames(window)
		rest := copy(window, window[used:])
		window = window[:rest]
		if n == 0 || used == 0 {
			break
		}
	}
	if t.size == info.Size() {
		return nil
	}
	return t.cutTorn(f, window, info.Size())
}

// takeFrames indexes the whole frames at the start of window and returns their length.
func (t *fileTable) takeFrames(window []byte) int {
	used := 0
	for {
		frame, ok := decodeFrame(window[used:])
		if !ok {
			return used
		}
		for i := frameHead; i < len(frame); i += entryBytes {
			t.take(frame[i:i+entryBytes], t.size+int64(i))
		}
		used += len(frame)
		t.size += int64(len(frame))
	}
}

func (t *fileTable) take(entry []byte, offset int64) {
	key := streamKey(entry[1:17])
	switch entry[0] {
	case entryKey:
		t.index[key] = offset + 1 + 32
		t.masters[[masterIDBytes]byte(entry[33:33+masterIDBytes])] = true
	case entryErased:
		delete(t.index, key)
	}
}

// cutTorn deals with what follows the last good frame. Only the frame being written at a crash can
// be torn, and none of its keys was in use: it is saved aside and cut off. Anything else is damage.
func (t *fileTable) cutTorn(f *os.File, window []byte, fileSize int64) error {
	rest := fileSize - t.size
	damaged := rest > frameBytesMax
	for i := 1; !damaged && i < len(window); i++ {
		next := bytes.Index(window[i:], []byte(frameMagic))
		if next < 0 {
			break
		}
		i += next
		_, damaged = decodeFrame(window[i:])
	}
	if damaged {
		return domain.E(domain.KindCorrupt, "open key table", t.path,
			fmt.Sprintf("is damaged at byte %d, with %d bytes after it; restore the file", t.size, rest))
	}
	aside, err := os.OpenFile(fmt.Sprintf("%s.torn-%d", t.path, t.size), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return durable.Failure("save torn end of", t.path, err)
	}
	_, err = aside.Write(window)
	if closed := aside.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = f.Truncate(t.size)
	}
	if err != nil {
		return durable.Failure("cut torn end of", t.path, err)
	}
	return nil
}
