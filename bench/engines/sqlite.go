package main

import (
	"database/sql"
	"path/filepath"

	_ "modernc.org/sqlite" // registers the driver
)

type sqliteEngine struct {
	*group
	db   *sql.DB
	next int64
}

const schema = `
create table events (
  position integer primary key, stream text not null, revision integer not null,
  id blob not null, type text not null, metadata blob, data blob,
  unique (stream, revision)
)`

func openSQLite(dir string) (engine, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "log.db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(schema); err != nil {
		return nil, err
	}
	s := &sqliteEngine{db: db}
	insert, err := db.Prepare("insert into events values (?, ?, ?, ?, ?, ?, ?)")
	if err != nil {
		return nil, err
	}
	s.group = newGroup(func(batch []*request) error { return s.commit(insert, batch) })
	return s, nil
}

func (s *sqliteEngine) commit(insert *sql.Stmt, batch []*request) error {
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	stmt := tx.Stmt(insert)
	for _, r := range batch {
		for i, e := range r.events {
			s.next++
			if _, err := stmt.Exec(s.next, r.stream, r.expected+1+int64(i), e.ID[:], e.Type, e.Metadata, e.Data); err != nil {
				return err
			}
		}
	}
	return tx.Commit()
}

func (s *sqliteEngine) close() error {
	s.stop()
	return s.db.Close()
}
