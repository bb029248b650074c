package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"quipu/domain"
	"quipu/infra/embedded/vfs"
)

// This file reads a folder that another process may be appending to. Whoever does so takes no lock
// and writes nothing; what he sees is a prefix of the log, since batches are written in order and a
// checksum tells a whole one from one that is under way.

// openMeta reads META of a log that must be there.
func openMeta(fsys vfs.FS, dir string) (meta, error) {
	m, found, err := loadMeta(fsys, dir)
	if err == nil && !found {
		err = domain.E(domain.KindNotFound, "open", dir, "the folder holds no log").WithCode("NO_LOG")
	}
	return m, err
}

// listSegments returns the numbers of the segments that are there, 1..n. A later one appears only
// when no more is written to those before it.
func listSegments(fsys vfs.FS, dir string) ([]uint64, error) {
	var numbers []uint64
	for look := range 2 {
		names, err := fsys.List(dir)
		if err != nil {
			return nil, fileError("open", dir, err)
		}
		if look > 0 { // what came since may again be listed with a gap
			names = slices.DeleteFunc(names, func(name string) bool {
				n, ok := parseSegmentName(name)
				return ok && n > numbers[len(numbers)-1]
			})
		}
		all, err := segmentNumbers(names)
		if err == nil {
			return all, nil
		}
		// A folder that is listed while segments are made may show a later one without one before
		// it. Then that one is there by now; else it is really missing.
		numbers = numbers[:0]
		for _, name := range names {
			if n, ok := parseSegmentName(name); ok {
				numbers = append(numbers, n)
			}
		}
		slices.Sort(numbers)
		if look > 0 || len(numbers) == 0 {
			return nil, err
		}
	}
	return nil, nil // not reached
}

// settle looks again at a segment that was read while it was being written to, until what stands
// behind the last complete frame is nothing, or the beginning of a frame: a frame that is bad
// although a later one is complete was complete itself, and is damaged.
func (s *scanner) settle() error {
	for s.torn > s.end {
		later, err := laterFrame(s.seg, s.seed, s.end, s.torn)
		if err != nil {
			return corruptError(s.seg.name, s.end, err.Error())
		}
		if later == 0 {
			return nil
		}
		before := s.end
		w, err := s.window()
		if err == nil {
			err = s.frames(w)
		}
		if err != nil {
			return err
		}
		if s.end == before {
			return corruptError(s.seg.name, s.end, fmt.Sprintf("%s, and a complete frame follows at offset %d", s.problem, later))
		}
	}
	return nil
}

// finish is settle for a segment that has a successor, or may have: a sealed one holds complete
// frames only.
func (s *scanner) finish(sealed bool) error {
	if sealed && s.torn > s.end {
		return corruptError(s.seg.name, s.end, s.problem+", and a later segment follows")
	}
	return s.settle()
}

// openListed is openSegment for reading only; a segment that was listed and is gone is missing.
func openListed(fsys vfs.FS, dir string, number uint64) (*segment, error) {
	seg, err := openSegment(fsys, dir, number, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, corruptError(segmentName(number), 0, "the segment is missing")
	}
	return seg, err
}
