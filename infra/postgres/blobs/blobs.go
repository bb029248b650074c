// Package blobs keeps payloads that are too large for events in Postgres, named by their content, so that
// any node reads what any node wrote: an adapter of commands.Blobs.
//
// A blob is rows of at most PartBytes; all of them and their commit are durable before Put returns.
package blobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"quipu/domain"
	"quipu/infra/postgres/cluster"
)

// Defaults of Options, and what no option changes.
const (
	BytesMaxDefault       = 64 << 20
	CacheBytesMaxDefault  = 32 << 20
	ConnectionsMaxDefault = 4
	TimeoutDefault        = 30 * time.Second
	// PartBytes is the size of one row: neither side has to hold a large blob several times over.
	PartBytes = 4 << 20
)

// Options of a store. The zero value is the default.
type Options struct {
	BytesMax       int64         // largest content accepted; default 64 MiB
	CacheBytesMax  int64         // contents kept in memory, the last used; default 32 MiB; below 0: none
	ConnectionsMax int           // default 4; further callers wait
	Timeout        time.Duration // of each call; default 30 s
}

// Store is the blobs. Safe for concurrent use by any number of processes.
type Store struct {
	pool     *cluster.Pool
	table    string
	bytesMax int64
	cache    *cache
}

// Open makes the store of a database that was migrated. Close it. Errors: ErrInvalid.
func Open(ctx context.Context, db *cluster.DB, o Options) (*Store, error) {
	if o.BytesMax < 0 {
		return nil, domain.E(domain.KindInvalid, "open blobs in", "the cluster's database", "bytes_max is negative").WithField("bytes_max")
	}
	if o.BytesMax == 0 {
		o.BytesMax = BytesMaxDefault
	}
	if o.CacheBytesMax == 0 {
		o.CacheBytesMax = CacheBytesMaxDefault
	}
	if o.ConnectionsMax == 0 {
		o.ConnectionsMax = ConnectionsMaxDefault
	}
	if o.Timeout == 0 {
		o.Timeout = TimeoutDefault
	}
	pool, err := db.NewPool(ctx, "blobs", cluster.PoolOptions{Max: o.ConnectionsMax, Timeout: o.Timeout})
	if err != nil {
		return nil, err
	}
	return &Store{pool: pool, table: db.Table("blobs"), bytesMax: o.BytesMax, cache: newCache(o.CacheBytesMax)}, nil
}

// Close closes the connections.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// Put implements commands.Blobs. What is already stored costs one short question.
// Errors: ErrInvalid with code TOO_LARGE over Options.BytesMax; ErrUnavailable, code DISK_FULL if that is
// the reason. After an error the content may be stored: the next Put finds it.
func (s *Store) Put(ctx context.Context, content []byte) (string, error) {
	const op = "put blob"
	if err := ended(ctx, op, ""); err != nil {
		return "", err
	}
	if int64(len(content)) > s.bytesMax {
		return "", domain.E(domain.KindInvalid, op, "",
			fmt.Sprintf("has %d bytes, at most %d are allowed", len(content), s.bytesMax)).WithCode("TOO_LARGE")
	}
	sum := sha256.Sum256(content)
	name := hex.EncodeToString(sum[:])
	if _, ok := s.cache.get(sum); ok {
		return name, nil // it came from there, or was put
	}
	var there, parts int64
	err := s.pool.Together(ctx, op, name, false, func(b *pgx.Batch) {
		b.Queue("SELECT coalesce(sum(octet_length(data)), 0)::bigint, count(*) FROM "+s.table+" WHERE sha256 = $1", sum[:]).
			QueryRow(func(r pgx.Row) error { return r.Scan(&there, &parts) })
	})
	if err != nil {
		return "", err
	}
	if parts == 0 || there != int64(len(content)) {
		if err := s.store(ctx, name, sum, content, parts > 0); err != nil {
			return "", err
		}
	}
	s.cache.put(sum, content)
	return name, nil
}

// store writes all parts in one transaction. damaged are parts of another size than the content has:
// somebody's hand, since the name says what it should be.
func (s *Store) store(ctx context.Context, name string, sum [32]byte, content []byte, damaged bool) error {
	return s.pool.Together(ctx, "put blob", name, true, func(b *pgx.Batch) {
		if damaged {
			b.Queue("DELETE FROM "+s.table+" WHERE sha256 = $1", sum[:])
		}
		for part, rest := int64(0), content; part == 0 || len(rest) > 0; part++ {
			n := min(len(rest), PartBytes)
			// Not nil, which would be NULL.
			data := append(make([]byte, 0, n), rest[:n]...)
			b.Queue("INSERT INTO "+s.table+" (sha256, part, bytes, data) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
				sum[:], part, int64(len(content)), data)
			rest = rest[n:]
		}
	})
}

// Get implements commands.Blobs.
func (s *Store) Get(ctx context.Context, name string) ([]byte, error) {
	const op = "get blob"
	if err := ended(ctx, op, ""); err != nil {
		return nil, err
	}
	sum, err := hex.DecodeString(name)
	if err != nil || len(sum) != sha256.Size || hex.EncodeToString(sum) != name {
		return nil, domain.E(domain.KindInvalid, op, "", "the name is not a lower-case hex SHA-256")
	}
	key := [32]byte(sum)
	if content, ok := s.cache.get(key); ok {
		return content, nil
	}
	var content []byte
	found := false
	err = s.pool.Together(ctx, op, name, false, func(b *pgx.Batch) {
		content, found = nil, false
		b.Queue("SELECT bytes, data FROM "+s.table+" WHERE sha256 = $1 ORDER BY part", sum).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var bytes int64
				var data []byte
				if err := rows.Scan(&bytes, &data); err != nil {
					return err
				}
				if !found && bytes >= 0 && bytes <= s.bytesMax {
					content = make([]byte, 0, bytes)
				}
				found = true
				content = append(content, data...)
			}
			return rows.Err()
		})
	})
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, domain.E(domain.KindNotFound, op, name, "no row in "+s.table)
	case sha256.Sum256(content) != key:
		return nil, domain.E(domain.KindCorrupt, op, name, "the content in "+s.table+" does not match its name")
	}
	s.cache.put(key, content)
	return content, nil
}

// ended is the caller's context, asked before anything is done.
func ended(ctx context.Context, op, subject string) error {
	switch ctx.Err() {
	case nil:
		return nil
	case context.DeadlineExceeded:
		return domain.Wrap(domain.KindDeadline, op, subject, ctx.Err())
	default:
		return domain.Wrap(domain.KindCanceled, op, subject, ctx.Err())
	}
}
