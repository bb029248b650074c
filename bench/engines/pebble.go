package main

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
)

type pebbleEngine struct {
	*group
	db   *pebble.DB
	next uint64
}

func openPebble(dir string) (engine, error) {
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}, MemTableSize: 64 << 20})
	if err != nil {
		return nil, err
	}
	p := &pebbleEngine{db: db}
	p.group = newGroup(p.commit)
	return p, nil
}

// commit writes each event under its position, and a key of stream and revision that leads there.
func (p *pebbleEngine) commit(batch []*request) error {
	b := p.db.NewBatch()
	var key, value []byte
	for _, r := range batch {
		for i, e := range r.events {
			p.next++
			key = binary.BigEndian.AppendUint64(append(key[:0], 'p'), p.next)
			value = append(value[:0], e.ID[:]...)
			value = binary.BigEndian.AppendUint32(value, uint32(len(r.stream)))
			value = append(value, r.stream...)
			value = binary.BigEndian.AppendUint32(value, uint32(len(e.Type)))
			value = append(value, e.Type...)
			value = binary.BigEndian.AppendUint32(value, uint32(len(e.Metadata)))
			value = append(value, e.Metadata...)
			value = append(value, e.Data...)
			if err := b.Set(key, value, nil); err != nil {
				return err
			}
			position := key[1:]
			stream := append(append([]byte{'s'}, r.stream...), 0)
			stream = binary.BigEndian.AppendUint64(stream, uint64(r.expected+1+int64(i)))
			if err := b.Set(stream, position, nil); err != nil {
				return err
			}
		}
	}
	return b.Commit(pebble.Sync)
}

func (p *pebbleEngine) close() error {
	p.stop()
	return p.db.Close()
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic("pebble: " + format) // its logger must not return
}
