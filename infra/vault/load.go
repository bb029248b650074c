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
	rest, err := t.scan(f, func(frame []byte) error {
		for i := frameHead; i < len(frame); i += entryBytes {
			t.take(frame[i:i+entryBytes], t.size+int64(i))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if t.size == 0 { // new, or its first start was cut short
		if _, err := f.WriteAt([]byte(tableHeader), 0); err != nil {
			return durable.Failure("create key table", t.path, err)
		}
		t.size = int64(len(tableHeader))
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return durable.Failure("open key table", t.path, err)
	}
	if t.size == info.Size() {
		return nil
	}
	if err := t.damaged(rest, info.Size()); err != nil {
		return err
	}
	return t.cutTorn(f, rest)
}

// scan reads header and frames, and hands on each whole frame, which starts at t.size; the bytes
// are valid for that long. What stands behind the last one, at most two frames of it, is the
// result. t.size is 0 afterwards if not even the header is whole.
func (t *fileTable) scan(f io.ReaderAt, each func(frame []byte) error) (rest []byte, err error) {
	head := make([]byte, len(tableHeader))
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, durable.Failure("open key table", t.path, err)
	}
	if !strings.HasPrefix(tableHeader, string(head[:n])) {
		return nil, domain.E(domain.KindCorrupt, "open key table", t.path, "is not a key table of this version")
	}
	if n < len(tableHeader) {
		return nil, nil
	}
	t.size = int64(len(tableHeader))
	// A window of two frames always holds a whole one at its start, if there is one.
	window := make([]byte, 0, 2*frameBytesMax)
	for next := t.size; ; {
		n, err := f.ReadAt(window[len(window):cap(window)], next)
		if err != nil && err != io.EOF {
			return nil, durable.Failure("open key table", t.path, err)
		}
		window = window[:len(window)+n]
		next += int64(n)
		used := 0
		for {
			frame, ok := decodeFrame(window[used:])
			if !ok {
				break
			}
			if err := each(frame); err != nil {
				return nil, err
			}
			used += len(frame)
			t.size += int64(len(frame))
		}
		window = window[:copy(window, window[used:])]
		if n == 0 || used == 0 {
			return window, nil
		}
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

// damaged tells what follows the last good frame of a table of fileSize bytes from what a crash, or
// a write under way, leaves: one torn frame. Anything else is damage.
func (t *fileTable) damaged(rest []byte, fileSize int64) error {
	after := fileSize - t.size
	damaged := after > frameBytesMax
	for i := 1; !damaged && i < len(rest); i++ {
		next := bytes.Index(rest[i:], []byte(frameMagic))
		if next < 0 {
			break
		}
		i += next
		_, damaged = decodeFrame(rest[i:])
	}
	if !damaged {
		return nil
	}
	return domain.E(domain.KindCorrupt, "open key table", t.path,
		fmt.Sprintf("is damaged at byte %d, with %d bytes after it; restore the file", t.size, after))
}

// cutTorn saves a torn frame aside and cuts it off. None of its keys was in use.
func (t *fileTable) cutTorn(f *os.File, torn []byte) error {
	aside, err := os.OpenFile(fmt.Sprintf("%s.torn-%d", t.path, t.size), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return durable.Failure("save torn end of", t.path, err)
	}
	_, err = aside.Write(torn)
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
