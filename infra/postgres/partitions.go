package postgres

import (
	"fmt"
	"math"
	"slices"

	"quipu/projections"
)

// strideMax bounds how much wider partitions become where positions have gaps.
const strideMax = 1 << 20

// partition is a range of positions: [from, to), or [from, to] where to is the last position there is.
type partition struct{ from, to int64 }

func (p partition) holds(position int64) bool {
	return p.from <= position && (position < p.to || p.to == math.MaxInt64)
}

// need returns the partitions for the events of c that are not among have, which is in order. When the
// newest event is in the last quarter of the last partition, the next one counts as needed: it is made
// before its time, by a commit that need not wait for it.
//
// width is in positions of a log that numbers its events. In a log whose positions are offsets in
// bytes, the gaps between these events say how much wider a partition of as many events is.
func need(have []partition, c *projections.Changes, width int64) (made []partition) {
	if len(c.Events) == 0 {
		return nil
	}
	last := int64(c.Events[len(c.Events)-1].Position)
	stride := (last - int64(c.After)) / int64(len(c.Events))
	width *= min(max(stride, 1), strideMax)
	all := slices.Clone(have)
	add := func(position int64) int {
		i, _ := slices.BinarySearchFunc(all, position, func(p partition, n int64) int { return compare(p.from, n) })
		p := partition{from: position - position%width}
		if i > 0 && all[i-1].to > p.from || i > 0 && position-all[i-1].to < width {
			p.from = all[i-1].to
		}
		p.to = math.MaxInt64
		if p.from < math.MaxInt64-width {
			p.to = p.from + width
		}
		if i < len(all) {
			p.to = min(p.to, all[i].from)
		}
		all = slices.Insert(all, i, p)
		made = append(made, p)
		return i
	}
	at := -1
	for i := range c.Events {
		position := int64(c.Events[i].Position)
		if at >= 0 && all[at].holds(position) {
			continue
		}
		at = slices.IndexFunc(all, func(p partition) bool { return p.holds(position) })
		if at < 0 {
			at = add(position)
		}
	}
	if p := all[at]; at == len(all)-1 && p.to != math.MaxInt64 && p.to-last <= (p.to-p.from)/4 {
		add(p.to)
	}
	return made
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// addPartition makes a table and attaches it: unlike CREATE TABLE … PARTITION OF, that waits for no
// reader.
func (s *store) addPartition(b *batch, p partition) {
	to := fmt.Sprint(p.to)
	if p.to == math.MaxInt64 {
		to = "MAXVALUE"
	}
	table := fmt.Sprintf("%s.events_%d", s.schema, p.from)
	b.add(fmt.Sprintf("CREATE TABLE %s (LIKE %s.events INCLUDING ALL)", table, s.schema), args{}, nil)
	b.add(fmt.Sprintf("ALTER TABLE %s.events ATTACH PARTITION %s FOR VALUES FROM (%d) TO (%s)", s.schema, table, p.from, to), args{}, nil)
	b.add(fmt.Sprintf("INSERT INTO %s.partitions VALUES (%d, %d)", s.schema, p.from, p.to), args{}, nil)
}

// shape is what a commit must know of the tables beyond its rows. It is read once and kept up by the
// commits that follow; when one of them fails it is read again.
type shape struct {
	width      int64       // of partitions, in positions
	partitions []partition // in order
	tail       span        // the newest; zero if there is none
}

// askShape reads the shape of a generation.
func (s *store) askShape(b *batch, sh *shape) {
	b.add("SELECT partition_width FROM "+s.schema+".state", args{}, func(r *record) { sh.width = r.big() })
	b.add("SELECT from_position, to_position FROM "+s.schema+".partitions ORDER BY 1", args{}, func(r *record) {
		sh.partitions = append(sh.partitions, partition{r.big(), r.big()})
	})
	b.add("SELECT "+spans.list("")+" FROM "+s.schema+".spans ORDER BY from_position DESC LIMIT 1", args{}, func(r *record) {
		sh.tail = span{r.position(), r.position(), r.big(), r.instant(), r.instant()}
	})
}

// after is the shape once these partitions were made and tail is the newest span.
func (sh shape) after(made []partition, tail span) *shape {
	if len(made) > 0 {
		sh.partitions = append(slices.Clone(sh.partitions), made...)
		slices.SortFunc(sh.partitions, func(a, b partition) int { return compare(a.from, b.from) })
	}
	sh.tail = tail
	return &sh
}
