package members

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"quipu/domain"
	"quipu/infra/postgres/cluster"
)

// Node is one node for operators.
type Node struct {
	Incarnation string    `json:"incarnation"`
	Name        string    `json:"name"`
	Version     string    `json:"version"`
	Level       int       `json:"level"` // the highest feature level it knows
	State       string    `json:"state"` // live, draining or lapsed
	Since       time.Time `json:"since"`
	Seen        time.Time `json:"seen"` // its last renewal
}

// The words of Node.State.
const (
	StateLive     = "live"
	StateDraining = "draining"
	StateLapsed   = "lapsed" // it died, or cannot reach the database
)

// List returns the nodes of a log ("" for all logs), those that lapsed within the last minutes among
// them, by the time they joined. Errors: ErrUnavailable.
func List(ctx context.Context, db *cluster.DB, pool *cluster.Pool, log domain.LogID) ([]Node, error) {
	sql := newStatements(db.Table)
	var out []Node
	err := pool.Together(ctx, "list", "the cluster's nodes", false, func(b *pgx.Batch) {
		b.Queue(sql.list, string(log)).Query(func(found pgx.Rows) (err error) {
			out, err = pgx.CollectRows(found, func(r pgx.CollectableRow) (n Node, err error) {
				var draining, live bool
				err = r.Scan(&n.Incarnation, &n.Name, &n.Version, &n.Level, &draining, &live, &n.Since, &n.Seen)
				n.Since, n.Seen = n.Since.UTC(), n.Seen.UTC()
				switch n.State = StateLive; {
				case !live:
					n.State = StateLapsed
				case draining:
					n.State = StateDraining
				}
				return n, err
			})
			return err
		})
	})
	return out, err
}

// List returns the nodes of this one's log. Errors: ErrUnavailable.
func (m *Members) List(ctx context.Context) ([]Node, error) {
	return List(ctx, m.db, m.pool, m.o.Log)
}
