package embedded

import (
	"context"
	"fmt"

	"quipu/commands"
	"quipu/domain"
	"quipu/infra/durable"
)

var _ commands.Batches = (*Log)(nil)

// BatchBounds implements commands.Batches.
func (l *Log) BatchBounds() (writes, bytes int) {
	return l.opts.BatchAppendsMax, max(l.opts.BatchBytesMax, domain.AppendBytesMax)
}

// AppendBatch implements commands.Batches: the writes are one group commit, and so one frame, which a crash
// leaves whole or not at all.
func (l *Log) AppendBatch(ctx context.Context, writes []commands.Write) (commands.Appended, error) {
	records, err := l.batchRecords(writes)
	if err != nil {
		return commands.Appended{}, err
	}
	for {
		b, result, err := l.enterBatch(ctx, writes, records)
		switch {
		case err != nil:
			return commands.Appended{}, err
		case b == nil:
			continue // there was no room
		}
		select {
		case <-b.done:
			if b.err != nil {
				return commands.Appended{}, b.err
			}
			return result, nil
		case <-ctx.Done():
			return commands.Appended{}, domain.Wrap(domain.KindIndeterminate, "append batch to", "log", context.Cause(ctx))
		}
	}
}

// batchRecord is an encoded write.
type batchRecord struct {
	b       []byte
	partial uint32
}

func (l *Log) batchRecords(writes []commands.Write) ([]batchRecord, error) {
	writesMax, bytesMax := l.BatchBounds()
	if len(writes) == 0 || len(writes) > writesMax {
		return nil, domain.E(domain.KindInvalid, "append batch to", "log", fmt.Sprintf("holds %d writes, 1..%d are allowed", len(writes), writesMax))
	}
	records, bytes := make([]batchRecord, len(writes)), 0
	for i := range writes {
		w := &writes[i]
		if err := domain.CheckAppend(w.Stream, w.Expected, w.Events); err != nil {
			return nil, err
		}
		if bytes += domain.AppendBytes(w.Events); bytes > bytesMax {
			return nil, domain.E(domain.KindInvalid, "append batch to", "log", fmt.Sprintf("holds more than %d bytes", bytesMax))
		}
		records[i].b, records[i].partial = newRecord(l.seed, w.Stream, w.Expected+1, w.Events)
	}
	return records, nil
}

// enterBatch adds all records to the open batch if that is empty, else waits until it is taken and returns
// no batch.
func (l *Log) enterBatch(ctx context.Context, writes []commands.Write, records []batchRecord) (*batch, commands.Appended, error) {
	w := &l.writer
	if err := durable.ContextError(ctx, "append batch to", "log"); err != nil {
		return nil, commands.Appended{}, err
	}
	w.mu.Lock()
	b := w.open
	if len(b.items) > 0 {
		w.mu.Unlock()
		select {
		case <-b.taken:
			return nil, commands.Appended{}, nil
		case <-ctx.Done():
			return nil, commands.Appended{}, durable.ContextError(ctx, "append batch to", "log")
		}
	}
	defer w.mu.Unlock()
	heads := map[domain.StreamID]domain.Revision{} // as the writes before leave them
	for i := range writes {
		id := writes[i].Stream
		st := l.index.streams[id]
		if err := w.refusal(st); err != nil {
			return nil, commands.Appended{}, err
		}
		head, known := heads[id]
		switch {
		case known:
		case st != nil:
			head = st.next
		default:
			head = domain.NoStream
		}
		if head != writes[i].Expected {
			return nil, commands.Appended{}, conflictError(id, writes[i].Expected, head)
		}
		heads[id] = head + domain.Revision(len(writes[i].Events))
	}
	var result commands.Appended
	for i := range writes {
		id := writes[i].Stream
		result = l.join(l.index.streams[id], id, writes[i].Events, records[i].b, records[i].partial)
	}
	return b, result, nil
}
