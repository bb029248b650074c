// Package progress has the lines in which a rebuild or a check of the views says how it goes. The server
// streams them and the command reads and prints them, so that both need one form.
package progress

import (
	"context"
	"errors"
	"fmt"

	"quipu/domain"
	"quipu/projections"
)

// Line is one line of a rebuild or check under way: what the route streams and what the command
// prints. Exactly one of its parts is set.
type Line struct {
	Step       projections.Step        `json:"step,omitempty"`
	Position   string                  `json:"position,omitempty"`
	Target     string                  `json:"target,omitempty"`
	Rows       int                     `json:"rows,omitempty"` // compared so far
	Note       string                  `json:"note,omitempty"`
	Difference *projections.Difference `json:"difference,omitempty"`
	Result     *Result                 `json:"result,omitempty"` // the last line, if it went well
	Error      string                  `json:"error,omitempty"`  // the last line otherwise
	Code       string                  `json:"code,omitempty"`
}

// Result is what the work found, once it has ended well. Positions are cursors of the log.
type Result struct {
	Position    string  `json:"position"`
	Compared    bool    `json:"compared"`
	ComparedAt  string  `json:"compared_at,omitempty"`
	Rows        int     `json:"rows"`
	Differences int     `json:"differences"`
	Parked      int     `json:"parked"`
	TookSeconds float64 `json:"took_seconds"`
}

// Of is the line of a step.
func Of(log domain.LogID, p projections.Progress) Line {
	l := Line{Step: p.Step, Rows: p.Rows, Note: p.Note, Difference: p.Difference}
	if p.Target > 0 {
		l.Position, l.Target = p.Position.Cursor(log), p.Target.Cursor(log)
	}
	return l
}

// Last is the line that ends the work: its result, or what it failed with.
func Last(log domain.LogID, r projections.Result, err error) Line {
	if err != nil {
		l := Line{Error: err.Error()}
		var coded *domain.Error
		if errors.As(err, &coded) {
			l.Code = coded.Code
		}
		return l
	}
	out := &Result{
		Position: r.Position.Cursor(log), Compared: r.Compared, Rows: r.Rows, Differences: r.Differences,
		Parked: r.Parked, TookSeconds: r.Took.Seconds(),
	}
	if r.Compared {
		out.ComparedAt = r.ComparedAt.Cursor(log)
	}
	return Line{Result: out}
}

// Text renders a line for people.
func (l Line) Text() string {
	switch {
	case l.Difference != nil:
		return "difference: " + l.Difference.String()
	case l.Result != nil && !l.Result.Compared:
		return fmt.Sprintf("built up to %s in %.1f s, %d events parked; nothing was compared", l.Result.Position, l.Result.TookSeconds, l.Result.Parked)
	case l.Result != nil:
		return fmt.Sprintf("built up to %s in %.1f s, %d events parked; %d rows compared at %s: %d differences",
			l.Result.Position, l.Result.TookSeconds, l.Result.Parked, l.Result.Rows, l.Result.ComparedAt, l.Result.Differences)
	case l.Error != "":
		return l.Error
	case l.Note != "":
		return l.Note
	case l.Rows > 0:
		return fmt.Sprintf("%s: %d rows", l.Step, l.Rows)
	}
	return fmt.Sprintf("%s: %s of %s", l.Step, l.Position, l.Target)
}

// Work is Rebuild or Verify of a projections.Runner.
type Work func(context.Context, func(projections.Progress)) (projections.Result, error)
