package sqlite

import (
	"context"
	"database/sql"
	"strings"

	"quipu/projections/view"
)

// condition is the WHERE part of a query, built of constant texts; what users send is an argument.
type condition struct {
	text string
	args []any
}

func (c *condition) add(text string, args ...any) {
	if c.text != "" {
		c.text += " AND "
	}
	c.text += text
	c.args = append(c.args, args...)
}

// join adds all of another.
func (c *condition) join(other condition) {
	if other.text != "" {
		c.add(other.text, other.args...)
	}
}

// branch is one way rows are found: FROM and WHERE with a window of positions on key.
type branch struct {
	columns string
	from    string
	key     string // the column of the position
	where   condition
}

// sql writes the branch for a window.
func (b *branch) sql(columns string, w window) (string, []any) {
	text := "SELECT " + columns + " FROM " + b.from + " WHERE " + b.key + " BETWEEN ? AND ?"
	args := []any{w.low, w.high}
	if b.where.text != "" {
		text += " AND " + b.where.text
		args = append(args, b.where.args...)
	}
	return text, args
}

func order(p view.Page) string {
	if p.Ascending {
		return "ASC"
	}
	return "DESC"
}

// page runs branches as one list in order of their first column, which is the key, and gives each row
// to scan, at most p.Limit of them.
func (r *reading) page(ctx context.Context, branches []branch, p view.Page, w window, scan func(rows *sql.Rows) error) (more bool, err error) {
	if w = w.page(p); w.empty() || len(branches) == 0 {
		return false, nil
	}
	var texts []string
	var args []any
	for i := range branches {
		t, a := branches[i].sql(branches[i].columns, w)
		texts, args = append(texts, t), append(args, a...)
	}
	args = append(args, p.Limit+1, p.Offset)
	rows, err := r.tx.QueryContext(ctx, strings.Join(texts, " UNION ALL ")+" ORDER BY 1 "+order(p)+" LIMIT ? OFFSET ?", args...)
	if err != nil {
		return false, err
	}
	defer func() { _ = rows.Close() }() // Err tells
	for n := 0; rows.Next(); n++ {
		if n == p.Limit {
			more = true
			break
		}
		if err := scan(rows); err != nil {
			return false, err
		}
	}
	return more, rows.Err()
}

// total counts the rows of branches, up to view.TotalMax+1.
func (r *reading) total(ctx context.Context, branches []branch, w window) (n int, err error) {
	if w.empty() || len(branches) == 0 {
		return 0, nil
	}
	var texts []string
	var args []any
	for i := range branches {
		t, a := branches[i].sql("1", w)
		texts, args = append(texts, t), append(args, a...)
	}
	args = append(args, view.TotalMax+1)
	err = r.tx.QueryRowContext(ctx, "SELECT count(*) FROM ("+strings.Join(texts, " UNION ALL ")+" LIMIT ?)", args...).Scan(&n)
	return n, err
}
