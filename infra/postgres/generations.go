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
	v.current.Store(number)
	return newStore(v, number), nil
}

// open looks for the current generation, and makes one in a new database.
func (v *Views) open(ctx context.Context) (number int64, err error) {
	if err := v.migrate(ctx); err != nil {
		return 0, err
	}
	if number, err = v.find(ctx, v.keepers); err != nil || number != 0 {
		return number, err
	}
	err = v.locked(ctx, func(tx pgx.Tx) error {
		if number, err = v.find(ctx, tx); err != nil || number != 0 {
			return err
		}
		number, err = v.create(ctx, tx, "current")
		return err
	})
	return number, err
}

// find returns the current generation, 0 if there is none yet.
func (v *Views) find(ctx context.Context, q querier) (number int64, err error) {
	var layout int64
	err = q.QueryRow(ctx, "SELECT number, layout FROM "+v.o.Schema+".generations WHERE phase = 'current'").Scan(&number, &layout)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, nil
	case err == nil && layout > layoutVersion:
		return 0, newer("open")
	}
	return number, err
}

// create makes the tables of a new generation.
func (v *Views) create(ctx context.Context, tx pgx.Tx, phase string) (number int64, err error) {
	if err := tx.QueryRow(ctx, "SELECT nextval('"+v.o.Schema+".generation_numbers')").Scan(&number); err != nil {
		return 0, err
	}
	text := strings.ReplaceAll(layout, "{{partition_width}}", fmt.Sprint(v.o.PartitionWidth))
	if err := script(ctx, tx, v.schema(number), "CREATE SCHEMA {{schema}};\n"+text); err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, "INSERT INTO "+v.o.Schema+".generations (number, layout, phase) VALUES ($1, $2, $3)", number, int64(layoutVersion), phase)
	return number, err
}

// Begin implements projections.Generations.
func (v *Views) Begin(ctx context.Context) (projections.Store, error) {
	if _, err := v.Current(ctx); err != nil {
		return nil, err // there is always a current one to build beside
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
		former, err := v.find(ctx, tx)
		if err != nil {
			return err
		}
		// The row that commits move is marked, too: who holds the former generation learns it there.
		return script(ctx, tx, v.schema(former), fmt.Sprintf(`UPDATE {{schema}}.state SET retired = true;
			UPDATE %[1]s.generations SET phase = 'retired' WHERE number = %[2]d;
			UPDATE %[1]s.generations SET phase = 'current' WHERE number = %[3]d`, v.o.Schema, former, number))
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
