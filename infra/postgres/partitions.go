package postgres

import (
	"fmt"

	"quipu/projections/view"
)

// missing lists the partitions that events need and that do not exist as far as we know. When the
// newest event is in the last quarter of its partition, the next one counts as needed: it is made
// before its time, by a commit that is not the first to need it.
func (s *store) missing(all []view.Event) (need []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := int64(-1)
	want := func(n int64) {
		if n != last && !s.partitions[n] {
			need = append(need, n)
		}
		last = n
	}
	for i := range all {
		want(int64(all[i].Position) / s.widths.partition)
	}
	if len(all) > 0 {
		p := int64(all[len(all)-1].Position)
		if p%s.widths.partition >= s.widths.partition/4*3 {
			want(p/s.widths.partition + 1)
		}
	}
	return need
}

// made remembers partitions of a commit that happened.
func (s *store) made(all []int64) {
	if len(all) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range all {
		s.partitions[n] = true
	}
}

// addPartition makes a table and attaches it: unlike CREATE TABLE … PARTITION OF, that waits for no
// reader. It may exist: a commit with unknown outcome or another process may have made it.
func (s *store) addPartition(b *batch, n int64) {
	w := s.widths.partition
	from := n * w
	to := fmt.Sprint(from + w)
	if from > 1<<63-1-w {
		to = "MAXVALUE"
	}
	b.add(fmt.Sprintf(`DO $$ BEGIN
		IF to_regclass('%[1]s.events_%[2]d') IS NULL THEN
			CREATE TABLE %[1]s.events_%[2]d (LIKE %[1]s.events INCLUDING ALL);
			ALTER TABLE %[1]s.events ATTACH PARTITION %[1]s.events_%[2]d FOR VALUES FROM (%[3]d) TO (%[4]s);
		END IF;
	END $$`, s.schema, n, from, to), args{}, nil)
}
