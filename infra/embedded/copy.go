package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"path"
	"path/filepath"

	"github.com/google/uuid"

	"quipu/domain"
	"quipu/infra/durable"
	"quipu/infra/embedded/vfs"
)

// Copy says what CopyTo copied.
type Copy struct {
	Source     domain.LogID
	Head       domain.Position // of the newest event in the copy
	Files      []durable.Copied
	Unfinished int64 // bytes behind the last complete batch, left out: under way, or cut short by a crash
}

// CopyTo copies the log in dir, which another process may be appending to, into the folder `to`,
// which it makes. It takes no lock and writes nothing in dir. The copy holds what was complete in
// dir when CopyTo began, and maybe more; it is durable when CopyTo returns. It is a log that ended in
// order, and takes an id of its own when it is first opened. META is written last: without it the
// copy is none. fsys nil means the machine's files.
//
// Errors: ErrNotFound, code NO_LOG, if dir holds no log; ErrCorrupt, with file and offset, if it is
// damaged: bad bytes are never copied; ErrUnavailable if something cannot be read or written, code
// DISK_FULL if there is no room; ErrCanceled, ErrDeadline. The files made so far stay.
func CopyTo(ctx context.Context, dir, to string, fsys vfs.FS) (Copy, error) {
	if fsys == nil {
		fsys = vfs.OS{}
	}
	c := copier{fs: fsys, dir: filepath.ToSlash(dir), to: filepath.ToSlash(to), next: 1}
	m, err := openMeta(fsys, c.dir)
	if err != nil {
		return Copy{}, err
	}
	c.seed = m.salt.seed()
	c.done.Source = domain.LogID(uuid.UUID(m.id).String())
	numbers, err := listSegments(fsys, c.dir)
	if err != nil {
		return Copy{}, err
	}
	if err := fsys.MkdirAll(c.to); err != nil {
		return Copy{}, durable.Failure("copy log to", c.to, err)
	}
	for i, number := range numbers {
		if err := c.segment(ctx, number, i < len(numbers)-1); err != nil {
			return Copy{}, err
		}
	}
	if err := fsys.SyncDir(c.to); err != nil {
		return Copy{}, durable.Failure("copy log to", c.to, err)
	}
	m.copied = true
	content := m.encode()
	if err := replaceFile(fsys, c.to, metaName, content); err != nil {
		return Copy{}, durable.Failure("copy log to", path.Join(c.to, metaName), err)
	}
	sum := sha256.Sum256(content)
	c.done.Files = append(c.done.Files, durable.Copied{Name: metaName, Bytes: int64(len(content)), SHA256: hex.EncodeToString(sum[:])})
	c.done.Head = c.next - 1
	return c.done, nil
}

// copier copies segments one after the other.
type copier struct {
	fs      vfs.FS
	dir, to string
	seed    uint32
	next    domain.Position
	done    Copy
}

func (c *copier) segment(ctx context.Context, number uint64, sealed bool) error {
	seg, err := openListed(c.fs, c.dir, number)
	if err != nil {
		return err
	}
	name := path.Join(c.to, seg.name)
	f, err := c.fs.Create(name)
	if err != nil {
		return errors.Join(durable.Failure("copy log to", name, err), seg.file.Close())
	}
	out := &output{name: name, file: f, hash: sha256.New()}
	err = errors.Join(c.frames(ctx, seg, sealed, out), f.Close(), seg.file.Close())
	if err == nil {
		c.done.Files = append(c.done.Files, durable.Copied{Name: seg.name, Bytes: out.bytes, SHA256: hex.EncodeToString(out.hash.Sum(nil))})
	}
	return err
}

// frames copies the header and the complete frames of a segment, each once it has been checked.
// The zeros behind them are left out.
func (c *copier) frames(ctx context.Context, seg *segment, sealed bool, out *output) error {
	s := scanner{
		seed: c.seed, seg: seg, next: c.next,
		batch: func(*segment, *frameHeader, int64, []byte) error { return nil },
		raw: func(b []byte, _ int64) error {
			if err := durable.ContextError(ctx, "copy log to", c.to); err != nil {
				return err
			}
			return out.write(b)
		},
	}
	err := s.run()
	if err == nil {
		err = s.finish(sealed)
	}
	if err != nil {
		return err
	}
	c.next = s.next
	if !sealed {
		c.done.Unfinished = s.torn - s.end
		if !s.closed {
			// Without it a last batch that rots in the copy would pass for one that a crash cut short.
			h, b := frameHeader{kind: frameClosed, first: s.next}, make([]byte, frameHeaderBytes)
			h.crc = payloadChecksum(c.seed, nil)
			h.put(b, c.seed, seg.number, s.end)
			if err := out.write(b); err != nil {
				return err
			}
		}
	}
	return out.sync()
}

// output is a file written from front to back in large pieces.
type output struct {
	name  string
	file  vfs.File
	hash  hash.Hash
	bytes int64 // given to write
	b     []byte
}

func (o *output) write(b []byte) error {
	o.hash.Write(b) // never fails (hash.Hash)
	o.bytes += int64(len(b))
	if o.b = append(o.b, b...); len(o.b) < scanWindowBytes {
		return nil
	}
	return o.flush()
}

func (o *output) flush() error {
	_, err := o.file.WriteAt(o.b, o.bytes-int64(len(o.b)))
	if err != nil {
		return durable.Failure("copy log to", o.name, err)
	}
	o.b = o.b[:0]
	return nil
}

func (o *output) sync() error {
	if err := o.flush(); err != nil {
		return err
	}
	if err := o.file.Datasync(); err != nil {
		return durable.Failure("copy log to", o.name, err)
	}
	return nil
}

// Unopened reports whether dir holds a copy made by CopyTo that was never opened, and of which log.
//
// Errors: ErrNotFound, code NO_LOG, if dir holds no log; ErrCorrupt; ErrUnavailable.
func Unopened(dir string) (source domain.LogID, unopened bool, err error) {
	m, err := openMeta(vfs.OS{}, filepath.ToSlash(dir))
	return domain.LogID(uuid.UUID(m.id).String()), m.copied, err
}
