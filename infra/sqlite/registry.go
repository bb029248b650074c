package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"quipu/domain"
	"quipu/infra/durable"
)

const (
	pointerFile   = "views.json"
	lockFile      = "views.lock"
	pointerFormat = 1
	lockPoll      = 5 * time.Millisecond
)

// pointer says which generations there are; 0 is none. It is replaced as a whole, which is the
// instant at which a promotion happens.
type pointer struct {
	Format   int `json:"format"`
	Current  int `json:"current"`
	Building int `json:"building,omitempty"`
}

// registry is the folder of the generations.
type registry struct{ dir string }

func (r registry) path(number int) string {
	return filepath.Join(r.dir, fmt.Sprintf("views-%06d.db", number))
}

// read returns the pointer; the zero one in a new folder. Errors: ErrCorrupt if the file makes no
// sense, ErrRefused if a newer version wrote it.
func (r registry) read() (pointer, error) {
	var p pointer
	b, err := os.ReadFile(filepath.Join(r.dir, pointerFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, nil
	case err != nil:
		return p, durable.Failure("read", "views", err)
	}
	err = json.Unmarshal(b, &p)
	switch {
	case p.Format > pointerFormat: // also if its other members have other types
		return p, newer()
	case err != nil || p.Format < 1 || p.Current < 0 || p.Building < 0:
		return pointer{}, corrupt("read", pointerFile+" cannot be read")
	}
	return p, nil
}

// orNone is read with a damaged file as good as none: which generation was the current one cannot be
// known, and all are derived, so a new one begins.
func (r registry) orNone() (pointer, error) {
	p, err := r.read()
	if errors.Is(err, domain.ErrCorrupt) {
		return pointer{}, nil
	}
	return p, err
}

func newer() error {
	return domain.E(domain.KindRefused, "open", "views",
		"were written by a newer version of the program; use that one, or give this one another folder").WithCode("VIEWS_NEWER")
}

// write replaces the pointer, durably.
func (r registry) write(p pointer) error {
	p.Format = pointerFormat
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(r.dir, filepath.Join(r.dir, pointerFile), append(b, '\n')); err != nil {
		return durable.Failure("write", "views", err)
	}
	if err := durable.SyncDir(r.dir); err != nil {
		return durable.Failure("write", "views", err)
	}
	return nil
}

// lock keeps other processes from changing the registry until unlock.
func (r registry) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, durable.Failure("open", "views", err)
	}
	f, err := os.OpenFile(filepath.Join(r.dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, durable.Failure("open", "views", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // closing unlocks; nothing was written
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, durable.Failure("lock", "views", err)
		}
		retry := time.NewTimer(lockPoll)
		select {
		case <-ctx.Done():
			retry.Stop()
			_ = f.Close()
			return nil, durable.ContextError(ctx, "lock", "views")
		case <-retry.C:
		}
	}
}

// numbers lists the generations that have files.
func (r registry) numbers() ([]int, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, durable.Failure("open", "views", err)
	}
	var all []int
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), "views-")
		if !ok {
			continue
		}
		name, _, _ = strings.Cut(name, ".db")
		if n, err := strconv.Atoi(name); err == nil && n > 0 && r.path(n) == filepath.Join(r.dir, "views-"+name+".db") {
			all = append(all, n)
		}
	}
	return all, nil
}

// sweep removes the files of all generations but those of p, and returns a number that none had.
func (r registry) sweep(p pointer) (next int, err error) {
	numbers, err := r.numbers()
	if err != nil {
		return 0, err
	}
	next = max(p.Current, p.Building)
	for _, n := range numbers {
		next = max(next, n)
		if n != p.Current && n != p.Building {
			r.remove(n)
		}
	}
	return next + 1, nil
}

// remove deletes the files of a generation. What fails to go is swept another time.
func (r registry) remove(number int) {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		_ = os.Remove(r.path(number) + suffix)
	}
}
