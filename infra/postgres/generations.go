package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"quipu/domain"
	"quipu/projections"
)

// Current implements projections.Generations.
func (v *Views) Current(ctx context.Context) (projections.Store, error) {
	number, err := v.open(ctx)
	if err != nil {
		return nil, translate(ctx, "open", "views", err)
	}
	switch whole, err := v.whole(ctx, number); {
	case err != nil:
		return nil, translate(ctx, "open", "views", err)
	case !whole:
		return nil, domain.E(domain.KindCorrupt, "open", "views", "the current generation lacks tables; rebuild the views")
	}
	v.current.Store(number)
	return newStore(v, number), nil
}

// whole reports whether all tables of the current generation are there. One that was replaced by
// another meanwhile counts as whole: its store will say so.
func (v *Views) whole(ctx context.Context, number int64) (whole bool, err error) {
	err = v.keepers.QueryRow(ctx, `SELECT count(*) = $3 OR NOT EXISTS (SELECT FROM `+v.o.Schema+`.generations WHERE number = $4 AND phase = 'current')
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = ANY($2::text[])`,
		v.schema(number), layoutTables, int64(len(layoutTables)), number).Scan(&whole)
	return whole, err
}

// layoutTables are the tables of layout.sql.
var layoutTables = []string{
	"approvals", "endpoints", "events", "executions", "names", "parked", "partitions", "spans", "state", "statuses", "tasks", "workflow_versions", "workflows",
}

// open looks for the current generation, and makes one in a new database, or if the registry was lost.
func (v *Views) open(ctx context.Context) (number int64, err error) {
	number, err = v.openOnce(ctx)
	if goneState(sqlState(err)) && v.migrated.Swap(false) {
		number, err = v.openOnce(ctx)
	}
	return number, err
}

func (v *Views) openOnce(ctx context.Context) (number int64, err error) {
	if err := v.migrate(ctx); err != nil {
		return 0, err
	}
	if number, err = v.find(ctx, v.keepers); err != nil || number != 0 {
		return number, err
	}
	replaced := false
	err = v.locked(ctx, func(tx pgx.Tx) error {
		former, layout, err := v.lookup(ctx, tx)
		if err != nil || former != 0 && layout == layoutVersion {
			number = former
			return err
		}
		if former != 0 {
			replaced = true
			if err := v.retire(ctx, tx, former); err != nil {
				return err
			}
		}
		number, err = v.create(ctx, tx, "current")
		return err
	})
	if err == nil && replaced {
		v.sweep(ctx)
	}
	return number, err
}

// find returns the current generation, 0 if there is none yet, or none of this program's layout: the
// tables of an older one cannot be read, and an empty generation takes its place, see openOnce.
func (v *Views) find(ctx context.Context, q querier) (number int64, err error) {
	number, layout, err := v.lookup(ctx, q)
	if layout < layoutVersion {
		number = 0
	}
	return number, err
}

// lookup returns the current generation of whatever layout, 0 if there is none yet. Errors: ErrRefused
// with code VIEWS_NEWER.
func (v *Views) lookup(ctx context.Context, q querier) (number, layout int64, err error) {
	err = q.QueryRow(ctx, "SELECT number, layout FROM "+v.o.Schema+".generations WHERE phase = 'current'").Scan(&number, &layout)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, 0, nil
	case err == nil && layout > layoutVersion:
		return number, layout, newer("open")
	}
	return number, layout, err
}

// retire marks the current generation as replaced. So is the row that commits move: who holds the
// generation learns it there.
func (v *Views) retire(ctx context.Context, tx pgx.Tx, number int64) error {
	return script(ctx, tx, v.schema(number), fmt.Sprintf(`
		DO $$ BEGIN UPDATE {{schema}}.state SET retired = true; EXCEPTION WHEN undefined_table OR invalid_schema_name THEN END $$;
		UPDATE %s.generations SET phase = 'retired' WHERE number = %d`, v.o.Schema, number))
}

// create makes the tables of a new generation.
func (v *Views) create(ctx context.Context, tx pgx.Tx, phase string) (number int64, err error) {
	if err := tx.QueryRow(ctx, "SELECT nextval('"+v.o.Schema+".generation_numbers')").Scan(&number); err != nil {
		return 0, err
	}
	text := strings.ReplaceAll(layout, "{{partition_width}}", fmt.Sprint(v.o.PartitionWidth))
	// A schema of this number that is there already is left from a registry that was lost.
	if err := script(ctx, tx, v.schema(number), "DROP SCHEMA IF EXISTS {{schema}} CASCADE;\nCREATE SCHEMA {{schema}};\n"+text); err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, "INSERT INTO "+v.o.Schema+".generations (number, layout, phase) VALUES ($1, $2, $3)", number, int64(layoutVersion), phase)
	return number, err
}

// Begin implements projections.Generations.
func (v *Views) Begin(ctx context.Context) (projections.Store, error) {
	// There is always a current one to build beside, though it may lack tables.
	if _, err := v.open(ctx); err != nil {
		return nil, translate(ctx, "begin", "views", err)
	}
	var number int64
	err := v.locked(ctx, func(tx pgx.Tx) error {
		var left int64
		err := tx.QueryRow(ctx, "SELECT number FROM "+v.o.Schema+".generations WHERE phase = 'building'").Scan(&left)
		if err == nil {
			err = v.remove(ctx, tx, left)
		}
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		number, err = v.create(ctx, tx, "building")
		return err
	})
	if err != nil {
		return nil, translate(ctx, "begin", "views", err)
	}
	v.sweep(ctx)
	return newStore(v, number), nil
}

// remove drops a generation. It waits a moment for those who read it, then fails: whoever comes after
// us waits behind us.
func (v *Views) remove(ctx context.Context, tx pgx.Tx, number int64) error {
	return script(ctx, tx, v.schema(number), fmt.Sprintf(
		"SET LOCAL lock_timeout = '200ms'; DROP SCHEMA IF EXISTS {{schema}} CASCADE; DELETE FROM %s.generations WHERE number = %d",
		v.o.Schema, number))
}

// sweepTries bounds the wait for readers of a generation that was replaced. What still has readers then
// (a snapshot) goes with a later sweep.
const sweepTries = 10

// sweep removes generations that were replaced. Nobody depends on its success.
func (v *Views) sweep(ctx context.Context) {
	for range sweepTries {
		var left int64
		err := v.locked(ctx, func(tx pgx.Tx) error {
			err := tx.QueryRow(ctx, "SELECT number FROM "+v.o.Schema+".generations WHERE phase = 'retired' ORDER BY number LIMIT 1").Scan(&left)
			if err != nil {
				return err
			}
			return v.remove(ctx, tx, left)
		})
		if err != nil && sqlState(err) != stateLockNotFound {
			return // none left, or the server has other troubles
		}
	}
}

// Promote implements projections.Generations.
func (v *Views) Promote(ctx context.Context, s projections.Store) error {
	number := s.(*store).number
	err := v.locked(ctx, func(tx pgx.Tx) error {
		phase, err := v.phase(ctx, tx, number)
		if err != nil {
			return err
		}
		if phase != "building" {
			return gone("promote")
		}
		former, _, err := v.lookup(ctx, tx)
		if err == nil {
			err = v.retire(ctx, tx, former)
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE "+v.o.Schema+".generations SET phase = 'current' WHERE number = $1", number)
		if err == nil && v.o.Notify {
			_, err = tx.Exec(ctx, v.notifySQL())
		}
		return err
	})
	if err != nil {
		return translate(ctx, "promote", "views", err)
	}
	v.current.Store(number)
	v.sweep(ctx)
	return nil
}

// phase of a generation, "" if it is gone.
func (v *Views) phase(ctx context.Context, tx pgx.Tx, number int64) (phase string, err error) {
	err = tx.QueryRow(ctx, "SELECT phase FROM "+v.o.Schema+".generations WHERE number = $1", number).Scan(&phase)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return phase, err
}

// Drop implements projections.Generations.
func (v *Views) Drop(ctx context.Context, s projections.Store) error {
	number := s.(*store).number
	err := v.locked(ctx, func(tx pgx.Tx) error {
		phase, err := v.phase(ctx, tx, number)
		if err != nil || phase == "" {
			return err
		}
		if phase == "current" {
			return domain.E(domain.KindConflict, "drop", "views", "the generation is the current one")
		}
		return v.remove(ctx, tx, number)
	})
	return translate(ctx, "drop", "views", err)
}
