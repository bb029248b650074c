package logtest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quipu/commands"
	"quipu/domain"
	"quipu/infra/memory"
)

// faulty is a log with one fault; what is not overridden is right.
type faulty struct {
	commands.Log
	append    func(ctx context.Context, s domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error)
	page      func(events []domain.Recorded, err error) ([]domain.Recorded, error) // of every read
	stream    func(s domain.StreamID) domain.StreamID
	batch     func(b commands.Batch) commands.Batch // of every subscription
	subscribe func(after domain.Position, prefix string) (domain.Position, string)
	nextCtx   func(context.Context) context.Context
	head      func(domain.Position) domain.Position
	close     func() error
	id        func() domain.LogID
}

func (f *faulty) ID() domain.LogID {
	if f.id != nil {
		return f.id()
	}
	return f.Log.ID()
}

func (f *faulty) name(s domain.StreamID) domain.StreamID {
	if f.stream != nil {
		return f.stream(s)
	}
	return s
}

func (f *faulty) read(events []domain.Recorded, err error) ([]domain.Recorded, error) {
	if f.page != nil {
		return f.page(events, err)
	}
	return events, err
}

func (f *faulty) Append(ctx context.Context, s domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
	if f.append != nil {
		return f.append(ctx, s, expected, events)
	}
	return f.Log.Append(ctx, f.name(s), expected, events)
}

func (f *faulty) ReadStream(ctx context.Context, s domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	return f.read(f.Log.ReadStream(ctx, f.name(s), from, max))
}

func (f *faulty) ReadStreamBackward(ctx context.Context, s domain.StreamID, from domain.Revision, max int) ([]domain.Recorded, error) {
	return f.read(f.Log.ReadStreamBackward(ctx, f.name(s), from, max))
}

func (f *faulty) ReadAll(ctx context.Context, after domain.Position, max int) ([]domain.Recorded, error) {
	return f.read(f.Log.ReadAll(ctx, after, max))
}

func (f *faulty) Head(ctx context.Context) (domain.Position, error) {
	p, err := f.Log.Head(ctx)
	if f.head != nil {
		p = f.head(p)
	}
	return p, err
}

func (f *faulty) Subscribe(ctx context.Context, after domain.Position, prefix string) (commands.Subscription, error) {
	if f.subscribe != nil {
		after, prefix = f.subscribe(after, prefix)
	}
	s, err := f.Log.Subscribe(ctx, after, prefix)
	if err != nil {
		return nil, err
	}
	return &faultySubscription{s, f}, nil
}

func (f *faulty) Close() error {
	if f.close != nil {
		return f.close()
	}
	return f.Log.Close()
}

type faultySubscription struct {
	commands.Subscription
	f *faulty
}

func (s *faultySubscription) Next(ctx context.Context) (commands.Batch, error) {
	if s.f.nextCtx != nil {
		ctx = s.f.nextCtx(ctx)
	}
	b, err := s.Subscription.Next(ctx)
	if err == nil && s.f.batch != nil {
		b.Events = slices.Clone(b.Events)
		b = s.f.batch(b)
	}
	return b, err
}

// faults lists what real adapters get wrong. Each must fail the suite.
var faults = map[string]func(f *faulty){
	"drops the last event of a page": func(f *faulty) {
		f.page = func(events []domain.Recorded, err error) ([]domain.Recorded, error) {
			if len(events) > 1 {
				events = events[:len(events)-1]
			}
			return events, err
		}
	},
	"swallows read errors": func(f *faulty) {
		f.page = func(events []domain.Recorded, err error) ([]domain.Recorded, error) {
			if err != nil && !errors.Is(err, domain.ErrNotFound) {
				return nil, nil
			}
			return events, err
		}
	},
	"an absent stream reads as empty": func(f *faulty) {
		f.page = func(events []domain.Recorded, err error) ([]domain.Recorded, error) {
			if errors.Is(err, domain.ErrNotFound) {
				return nil, nil
			}
			return events, err
		}
	},
	"wrong order within a page": func(f *faulty) {
		f.page = func(events []domain.Recorded, err error) ([]domain.Recorded, error) {
			events = slices.Clone(events)
			slices.Reverse(events)
			return events, err
		}
	},
	"loses metadata": func(f *faulty) {
		f.page = func(events []domain.Recorded, err error) ([]domain.Recorded, error) {
			events = slices.Clone(events)
			for i := range events {
				events[i].Metadata = nil
			}
			return events, err
		}
	},
	"pages are not bounded by bytes": func(f *faulty) {
		f.page = func(events []domain.Recorded, err error) ([]domain.Recorded, error) {
			// Reads on where the inner log stopped for bytes.
			if n := len(events); n > 0 && n < 100 && len(events[n-1].Data) > 1<<18 {
				more, _ := f.Log.ReadAll(context.Background(), events[n-1].Position, 100)
				events = append(slices.Clone(events), more...)
			}
			return events, err
		}
	},
	"accepts a stale revision": func(f *faulty) {
		f.append = func(ctx context.Context, s domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
			for {
				a, err := f.Log.Append(ctx, s, expected, events)
				if !errors.Is(err, domain.ErrConflict) {
					return a, err
				}
				newest, err := f.Log.ReadStreamBackward(ctx, s, 1<<40, 1)
				if expected = domain.NoStream; err == nil {
					expected = newest[0].Revision
				}
			}
		}
	},
	"does not recognise a repeat": func(f *faulty) {
		f.append = func(ctx context.Context, s domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
			newest, err := f.Log.ReadStreamBackward(ctx, s, 1<<40, 1)
			if err == nil && newest[0].Revision != expected {
				return commands.Appended{}, domain.E(domain.KindConflict, "append to", string(s), "")
			}
			return f.Log.Append(ctx, s, expected, events)
		}
	},
	"recognises a repeat by its first id only": func(f *faulty) {
		f.append = func(ctx context.Context, s domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
			a, err := f.Log.Append(ctx, s, expected, events)
			if errors.Is(err, domain.ErrConflict) {
				return f.Log.Append(ctx, s, expected, events[:1])
			}
			return a, err
		}
	},
	"is not atomic": func(f *faulty) {
		f.append = func(ctx context.Context, s domain.StreamID, expected domain.Revision, events []domain.Pending) (a commands.Appended, err error) {
			if err := domain.CheckAppend(s, expected, events); err != nil {
				return a, err
			}
			for i := range events {
				if a, err = f.Log.Append(ctx, s, expected+domain.Revision(i), events[i:i+1]); err != nil {
					return a, err
				}
			}
			return a, nil
		}
	},
	"does not check bounds": func(f *faulty) {
		f.append = func(ctx context.Context, s domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
			a, err := f.Log.Append(ctx, s, expected, events)
			if errors.Is(err, domain.ErrInvalid) {
				err = nil
			}
			return a, err
		}
	},
	"answers with the first revision": func(f *faulty) {
		f.append = func(ctx context.Context, s domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
			a, err := f.Log.Append(ctx, s, expected, events)
			a.Revision = expected + 1
			return a, err
		}
	},
	"keeps the caller's bytes": func(f *faulty) {
		var mu sync.Mutex
		kept := map[domain.EventID][]byte{}
		f.append = func(ctx context.Context, s domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
			mu.Lock()
			for i := range events {
				kept[events[i].ID] = events[i].Data
			}
			mu.Unlock()
			return f.Log.Append(ctx, s, expected, events)
		}
		f.page = func(events []domain.Recorded, err error) ([]domain.Recorded, error) {
			mu.Lock()
			defer mu.Unlock()
			events = slices.Clone(events)
			for i := range events {
				events[i].Data = kept[events[i].ID]
			}
			return events, err
		}
	},
	"ignores ctx in append": func(f *faulty) {
		f.append = func(ctx context.Context, s domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
			return f.Log.Append(context.WithoutCancel(ctx), s, expected, events)
		}
	},
	"one lost race fails the next append": func(f *faulty) {
		var mu sync.Mutex
		lost := false
		f.append = func(ctx context.Context, s domain.StreamID, expected domain.Revision, events []domain.Pending) (commands.Appended, error) {
			mu.Lock()
			failed := lost
			lost = false
			mu.Unlock()
			if failed && domain.CheckAppend(s, expected, events) == nil {
				return commands.Appended{}, domain.E(domain.KindConflict, "append to", string(s), "another one's conflict")
			}
			a, err := f.Log.Append(ctx, s, expected, events)
			if errors.Is(err, domain.ErrConflict) {
				mu.Lock()
				lost = true
				mu.Unlock()
			}
			return a, err
		}
	},
	"splits ids on '-'": func(f *faulty) {
		f.stream = func(s domain.StreamID) domain.StreamID {
			parts := strings.SplitN(string(s), "-", 3)
			return domain.StreamID(strings.Join(parts[:min(2, len(parts))], "-"))
		}
	},
	"folds case": func(f *faulty) {
		f.stream = func(s domain.StreamID) domain.StreamID { return domain.StreamID(strings.ToLower(string(s))) }
	},
	"cuts long ids": func(f *faulty) {
		f.stream = func(s domain.StreamID) domain.StreamID { return s[:min(len(s), 255)] }
	},
	"trims spaces": func(f *faulty) {
		f.stream = func(s domain.StreamID) domain.StreamID {
			if t := strings.TrimSpace(string(s)); t != "" {
				return domain.StreamID(t)
			}
			return s
		}
	},
	"duplicate in a subscription": func(f *faulty) {
		f.batch = func(b commands.Batch) commands.Batch {
			if n := len(b.Events); n > 0 {
				b.Events = append(b.Events, b.Events[n-1])
			}
			return b
		}
	},
	"gap in a subscription": func(f *faulty) {
		f.batch = func(b commands.Batch) commands.Batch {
			if n := len(b.Events); n > 1 {
				b.Events = b.Events[:n-1]
			}
			return b
		}
	},
	"gap at the handover": func(f *faulty) {
		var mu sync.Mutex
		caught := false
		f.batch = func(b commands.Batch) commands.Batch {
			mu.Lock()
			defer mu.Unlock()
			if caught && len(b.Events) > 0 {
				b.Events = b.Events[1:]
			}
			caught = b.CaughtUp
			return b
		}
	},
	"a subscription includes its start": func(f *faulty) {
		f.subscribe = func(after domain.Position, prefix string) (domain.Position, string) {
			return max(after, 1) - 1, prefix
		}
	},
	"a subscription starts at the head": func(f *faulty) {
		f.subscribe = func(after domain.Position, prefix string) (domain.Position, string) {
			head, _ := f.Log.Head(context.Background())
			return max(after, head), prefix
		}
	},
	"ignores the prefix": func(f *faulty) {
		f.subscribe = func(after domain.Position, _ string) (domain.Position, string) { return after, "" }
	},
	"matches the prefix up to '-'": func(f *faulty) {
		f.subscribe = func(after domain.Position, prefix string) (domain.Position, string) {
			return after, strings.TrimSuffix(prefix, "-")
		}
	},
	"the position is that of the last match": func(f *faulty) {
		f.batch = func(b commands.Batch) commands.Batch {
			b.Position = 0
			if n := len(b.Events); n > 0 {
				b.Position = b.Events[n-1].Position
			}
			return b
		}
	},
	"never says caught up": func(f *faulty) {
		f.batch = func(b commands.Batch) commands.Batch { b.CaughtUp = false; return b }
	},
	"Next ignores its ctx": func(f *faulty) {
		f.nextCtx = func(ctx context.Context) context.Context {
			// Not for ever, or the proof would hang with it.
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			context.AfterFunc(limited, cancel)
			return limited
		}
	},
	"a stale head": func(f *faulty) {
		f.head = func(p domain.Position) domain.Position { return max(p, 1) - 1 }
	},
	"Close does nothing": func(f *faulty) {
		f.close = func() error { return nil }
	},
	"the second Close fails": func(f *faulty) {
		closed := false
		f.close = func() error {
			if closed {
				return errors.New("closed twice")
			}
			closed = true
			return f.Log.Close()
		}
	},
	"all logs have one id": func(f *faulty) { f.id = func() domain.LogID { return "same" } },
}

// reopenFaults are faults of what Close and reopening leave.
var reopenFaults = map[string]func(tb testing.TB, l commands.Log) commands.Log{
	"loses everything at reopen": func(testing.TB, commands.Log) commands.Log { return memory.NewLog() },
	"loses the newest event at reopen": func(_ testing.TB, l commands.Log) commands.Log {
		return &faulty{Log: l, head: func(p domain.Position) domain.Position { return max(p, 1) - 1 }}
	},
	"has another id after reopen": func(_ testing.TB, l commands.Log) commands.Log {
		return &faulty{Log: l, id: func() domain.LogID { return "other" }}
	},
	"forgets ids at reopen": func(_ testing.TB, l commands.Log) commands.Log {
		f := &faulty{Log: l}
		faults["does not recognise a repeat"](f)
		return f
	},
}
