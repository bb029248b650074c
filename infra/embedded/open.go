package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"quipu/domain"
	"quipu/infra/embedded/vfs"
)

// Names in the folder of a log.
const (
	metaName     = "META"
	lockName     = "LOCK"
	cutName      = "cut"
	preparedName = "prepared.tmp" // the next segment, zeros so far
	metaTempName = "META.tmp"
	segmentExt   = ".seg"
)

func segmentName(number uint64) string { return fmt.Sprintf("%08d%s", number, segmentExt) }

func parseSegmentName(name string) (number uint64, ok bool) {
	digits, found := strings.CutSuffix(name, segmentExt)
	if !found {
		return 0, false
	}
	if _, err := fmt.Sscanf(digits, "%d", &number); err != nil || number == 0 {
		return 0, false
	}
	return number, segmentName(number) == name
}

// Open opens the log in dir, making it if the folder is empty or missing, and checks it: what a
// crash left half written behind the last complete batch is cut off and kept in dir/cut. A copy made
// by CopyTo gets an id of its own.
//
// Errors: ErrInvalid for bad options or a folder with something else in it; ErrUnavailable if the
// folder is in use by another process, cannot be written, or the disk is full; ErrCorrupt, with
// file and offset, for damage that a crash cannot explain: then nothing is changed.
func Open(dir string, opts Options) (*Log, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	l := &Log{
		opts:   opts,
		dir:    filepath.ToSlash(dir),
		fs:     opts.FS,
		logger: opts.Logger,
		types:  &typeNames{known: map[string]string{}},
		index:  index{streams: map[domain.StreamID]*stream{}},
		recent: recent{eventsMax: opts.RecentEventsMax, bytesMax: opts.RecentBytesMax},
	}
	if err := l.fs.MkdirAll(l.dir); err != nil {
		return nil, fileError("open", l.dir, err)
	}
	lock, err := l.fs.Lock(l.path(lockName))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, domain.E(domain.KindUnavailable, "open", dir, "the log is in use by another process").WithCode("LOG_IN_USE")
	}
	if err != nil {
		return nil, fileError("open", l.path(lockName), err)
	}
	l.lock = lock
	if err := l.load(); err != nil {
		return nil, errors.Join(err, l.release())
	}
	l.writer.start(l)
	return l, nil
}

func (l *Log) path(name string) string { return path.Join(l.dir, name) }

func (l *Log) load() error {
	m, found, err := loadMeta(l.fs, l.dir)
	if err != nil {
		return err
	}
	if !found {
		if m, err = l.create(); err != nil {
			return err
		}
	}
	l.meta, l.seed = m, m.salt.seed()
	if err := l.recover(); err != nil {
		return err
	}
	return l.renew()
}

// renew gives a copy an id of its own. META is replaced as a whole: a crash leaves the flag and
// the old id, or neither.
func (l *Log) renew() error {
	if !l.meta.copied {
		return nil
	}
	source := l.ID()
	l.meta.id, l.meta.created, l.meta.copied = uuid.New(), l.opts.Clock().UnixMilli(), false
	if err := replaceFile(l.fs, l.dir, metaName, l.meta.encode()); err != nil {
		return fileError("open", l.path(metaName), err)
	}
	l.logger.Info("first opening of a copy of a log: it has an id of its own now",
		slog.String("log", string(l.ID())), slog.String("copy_of", string(source)))
	return nil
}

// loadMeta reads META; !found if there is none.
func loadMeta(fsys vfs.FS, dir string) (m meta, found bool, err error) {
	name := path.Join(dir, metaName)
	b, err := readFile(fsys, name, metaBytes+1)
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fileError("open", name, err)
	}
	m, reason := decodeMeta(b)
	if reason != "" {
		return m, false, corruptError(metaName, 0, reason)
	}
	return m, true, nil
}

func readFile(fsys vfs.FS, name string, bytesMax int) (b []byte, err error) {
	f, err := fsys.Open(name, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b = make([]byte, bytesMax)
	n, err := readAt(f, b, 0)
	return b[:n], err
}

// create makes a new log: first segment 1, then META. So a folder with META has all of its
// segments, and one without holds at most the empty beginning of a log, which is made anew.
func (l *Log) create() (meta, error) {
	m := meta{id: uuid.New(), created: l.opts.Clock().UnixMilli()}
	_, _ = rand.Read(m.salt[:]) // never fails (crypto/rand)
	names, err := l.fs.List(l.dir)
	if err != nil {
		return m, fileError("open", l.dir, err)
	}
	for _, name := range names {
		switch name {
		case lockName, preparedName, metaTempName, cutName:
			continue
		case segmentName(1):
			if empty, err := l.noFrames(name); err != nil || !empty {
				return m, errors.Join(err, corruptError(metaName, 0, "is missing, but there are segments"))
			}
			continue
		}
		if strings.HasSuffix(name, sidecarExt) || strings.HasSuffix(name, sidecarExt+".tmp") {
			continue // derived
		}
		if _, ok := parseSegmentName(name); ok {
			return m, corruptError(metaName, 0, "is missing, but there are segments")
		}
		return m, domain.E(domain.KindInvalid, "open", l.dir, fmt.Sprintf("the folder is not a log: it holds %q", name))
	}
	l.seed = m.salt.seed()
	f, err := prepareSegment(l.fs, l.path(preparedName), firstSegmentBytes(l.opts.SegmentBytes), func(int64) bool { return true })
	if err != nil {
		return m, fileError("open", l.dir, err)
	}
	if err = l.activate(f, 1, 1); err == nil {
		err = f.Close()
	}
	if err == nil {
		err = replaceFile(l.fs, l.dir, metaName, m.encode())
	}
	if err != nil {
		return m, fileError("open", l.dir, err)
	}
	return m, nil
}

// noFrames reports whether nothing was ever written behind a segment's header.
func (l *Log) noFrames(name string) (bool, error) {
	f, err := l.fs.Open(l.path(name), false)
	if err != nil {
		return false, fileError("open", name, err)
	}
	end, err := lastNonZero(f, segmentHeaderBytes)
	return end == segmentHeaderBytes, errors.Join(err, f.Close())
}

// replaceFile writes a small file so that after a crash it is there whole or not at all.
func replaceFile(fsys vfs.FS, dir, name string, content []byte) error {
	temp := path.Join(dir, name+".tmp")
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Datasync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(temp, path.Join(dir, name)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}
