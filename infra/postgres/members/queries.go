package members

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"quipu/domain"
)

// forgetAfter is when the row of a node that died is removed; until then operators see it.
const forgetAfter = 10 * time.Minute

// lapsedShown is for how long after its lease a node may come back into force without joining anew in
// the eyes of the others; see settled.
const lapsedShown = time.Minute

// statements are the texts for one schema.
type statements struct {
	renew, look, level         string
	begin, lock, forget, count string
	join, drain, leave, raise  string
	list                       string
}

func newStatements(table func(string) string) statements {
	m, l := table("members"), table("levels")
	return statements{
		renew: "UPDATE " + m + " SET seen = clock_timestamp(), until = clock_timestamp() + $3 * interval '1 microsecond'," +
			" draining = $4 WHERE log = $1 AND incarnation = $2 AND until > clock_timestamp() RETURNING 1",
		look: "SELECT incarnation, level, draining, (extract(epoch FROM until - clock_timestamp()) * 1000000)::bigint FROM " + m +
			" WHERE log = $1 AND until > clock_timestamp() - $2 * interval '1 microsecond' ORDER BY incarnation",
		level: "SELECT level FROM " + l + " WHERE log = $1",

		begin:  "INSERT INTO " + l + " (log, level) VALUES ($1, $2) ON CONFLICT DO NOTHING",
		lock:   "SELECT level FROM " + l + " WHERE log = $1 FOR UPDATE",
		forget: "DELETE FROM " + m + " WHERE log = $1 AND until < clock_timestamp() - $2 * interval '1 microsecond'",
		count:  "SELECT count(*) FROM " + m + " WHERE log = $1 AND incarnation <> $2 AND until > clock_timestamp()",
		join: "INSERT INTO " + m + " (log, incarnation, name, version, level, draining, joined, seen, until)" +
			" VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp(), clock_timestamp(), clock_timestamp() + $7 * interval '1 microsecond')" +
			" ON CONFLICT (log, incarnation) DO UPDATE SET seen = excluded.seen, until = excluded.until, draining = excluded.draining",
		drain: "UPDATE " + m + " SET draining = true WHERE log = $1 AND incarnation = $2",
		leave: "DELETE FROM " + m + " WHERE log = $1 AND incarnation = $2",
		raise: "UPDATE " + l + " SET level = least_known FROM (SELECT min(level) AS least_known FROM " + m +
			" WHERE log = $1 AND until > clock_timestamp()) AS known WHERE log = $1 AND level < least_known RETURNING level",
		list: "SELECT incarnation, name, version, level, draining, until > clock_timestamp(), joined, seen FROM " + m +
			" WHERE log = $1 OR $1 = '' ORDER BY log, joined, incarnation",
	}
}

const notify = "SELECT pg_notify($1, $2)"

// look renews the lease, if it stands and this node has not left, and reads the members.
func (m *Members) look(ctx context.Context) (renewed bool, rows []row, level int, err error) {
	err = m.pool.Together(ctx, "renew", "membership", false, func(b *pgx.Batch) {
		renewed, rows, level = false, nil, 0
		if !m.leaving.Load() {
			b.Queue(m.sql.renew, string(m.o.Log), m.o.Node, m.o.TTL.Microseconds(), m.draining.Load()).Query(func(found pgx.Rows) error {
				for found.Next() {
					renewed = true
				}
				return found.Err()
			})
		}
		b.Queue(m.sql.look, string(m.o.Log), lapsedShown.Microseconds()).Query(func(found pgx.Rows) (err error) {
			rows, err = pgx.CollectRows(found, func(r pgx.CollectableRow) (out row, err error) {
				var left int64
				err = r.Scan(&out.node, &out.level, &out.draining, &left)
				out.left = time.Duration(left) * time.Microsecond
				return out, err
			})
			return err
		})
		b.Queue(m.sql.level, string(m.o.Log)).Query(func(found pgx.Rows) error {
			for found.Next() {
				if err := found.Scan(&level); err != nil {
					return err
				}
			}
			return found.Err()
		})
	})
	return renewed, rows, level, err
}

// enter makes this node a member, at its start or after its lease has lapsed.
// Errors: ErrRefused with code LEVEL_TOO_LOW; ErrExhausted; ErrUnavailable.
func (m *Members) enter(ctx context.Context, draining bool) error {
	const op, subject = "join", "the cluster"
	return m.pool.Transaction(ctx, op, subject, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, m.sql.begin, string(m.o.Log), int64(m.o.Level)); err != nil {
			return err
		}
		var level, others int
		if err := tx.QueryRow(ctx, m.sql.lock, string(m.o.Log)).Scan(&level); err != nil {
			return err
		}
		if level > m.o.Level {
			return domain.E(domain.KindRefused, op, subject, fmt.Sprintf(
				"its feature level in force is %d, this program (%s) knows %d: what the others write it could not read; start the newer version", level, m.o.Version, m.o.Level)).WithCode(CodeLevelTooLow)
		}
		if _, err := tx.Exec(ctx, m.sql.forget, string(m.o.Log), forgetAfter.Microseconds()); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, m.sql.count, string(m.o.Log), m.o.Node).Scan(&others); err != nil {
			return err
		}
		if others >= NodesMax {
			return domain.E(domain.KindExhausted, op, subject, fmt.Sprintf("it has %d nodes, more are not allowed: stop one of them first", others)).WithCode("NODES_MAX")
		}
		if _, err := tx.Exec(ctx, m.sql.join, string(m.o.Log), m.o.Node, m.o.Name, m.o.Version, int64(m.o.Level), draining, m.o.TTL.Microseconds()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, notify, m.channel, string(m.o.Log))
		return err
	})
}

// raise puts the level that all live nodes know in force. Whoever joins meanwhile waits, or is seen.
func (m *Members) raise(ctx context.Context) (level int, err error) {
	err = m.pool.Transaction(ctx, "raise", "the feature level", func(ctx context.Context, tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, m.sql.lock, string(m.o.Log)).Scan(&level); err != nil {
			return err
		}
		// A statement of its own: it sees who joined before the lock was ours.
		rows, err := tx.Query(ctx, m.sql.raise, string(m.o.Log))
		if err != nil {
			return err
		}
		for rows.Next() {
			if err := rows.Scan(&level); err != nil {
				return err
			}
		}
		if rows.Err() != nil {
			return rows.Err()
		}
		_, err = tx.Exec(ctx, notify, m.channel, string(m.o.Log))
		return err
	})
	return level, err
}

// mark changes this node's row and lets the others know.
func (m *Members) mark(ctx context.Context, op, statement string) error {
	return m.pool.Together(ctx, op, "the cluster", false, func(b *pgx.Batch) {
		b.Queue(statement, string(m.o.Log), m.o.Node)
		b.Queue(notify, m.channel, string(m.o.Log))
	})
}
