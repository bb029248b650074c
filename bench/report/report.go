package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// Row is one figure.
type Row struct {
	Section string  `json:"section"`
	What    string  `json:"what"`
	Figure  float64 `json:"figure"`
	Unit    string  `json:"unit"`
	// Raw is what the machine could do at best in the same run, in RawUnit; 0 if nothing compares.
	Raw     float64 `json:"raw,omitempty"`
	RawUnit string  `json:"raw_unit,omitempty"`
	// Ratio is Figure in terms of Raw; 0 if nothing compares.
	Ratio  float64 `json:"ratio,omitempty"`
	Target *Target `json:"target,omitempty"`
	Met    *bool   `json:"met,omitempty"`
	// Note says what a reader has to know to judge the figure.
	Note string `json:"note,omitempty"`
}

// Target is a bound on a row's figure, or on its ratio.
type Target struct {
	Bound   float64 `json:"bound"`
	AtMost  bool    `json:"at_most"` // else at least
	OfRatio bool    `json:"of_ratio"`
}

// AtLeast and AtMost bound the figure, RatioAtLeast and RatioAtMost the ratio.
func AtLeast(bound float64) *Target { return &Target{Bound: bound} }

// AtMost bounds the figure from above.
func AtMost(bound float64) *Target { return &Target{Bound: bound, AtMost: true} }

// RatioAtLeast bounds the ratio from below.
func RatioAtLeast(bound float64) *Target { return &Target{Bound: bound, OfRatio: true} }

// RatioAtMost bounds the ratio from above.
func RatioAtMost(bound float64) *Target { return &Target{Bound: bound, AtMost: true, OfRatio: true} }

func (t *Target) met(r *Row) bool {
	value := r.Figure
	if t.OfRatio {
		value = r.Ratio
	}
	if t.AtMost {
		return value <= t.Bound
	}
	return value >= t.Bound
}

func (t *Target) text(unit string) string {
	sign := "≥ "
	if t.AtMost {
		sign = "≤ "
	}
	if t.OfRatio {
		return "ratio " + sign + number(t.Bound)
	}
	return sign + join(number(t.Bound), unit)
}

// Report is what one run of the benchmarks found.
type Report struct {
	Facts Facts `json:"facts"`
	Rows  []Row `json:"rows"`
	// Progress is told of every row as it is found.
	Progress io.Writer `json:"-"`
}

// Add takes a row and judges it.
func (r *Report) Add(row Row) {
	if row.Target != nil {
		met := row.Target.met(&row)
		row.Met = &met
	}
	r.Rows = append(r.Rows, row)
	if r.Progress != nil {
		_, _ = fmt.Fprintf(r.Progress, "  %s: %s\n", row.What, join(number(row.Figure), row.Unit)) // only a sign of life
	}
}

// WriteTable prints everything as one Markdown table that is readable as it is.
func (r *Report) WriteTable(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%s\n\n", r.Facts); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', tabwriter.Debug)
	_, _ = fmt.Fprintln(t, "|what\tfigure\traw limit\tratio\ttarget, first\tmet\tnote\t")
	_, _ = fmt.Fprintln(t, "|---\t---\t---\t---\t---\t---\t---\t")
	section := ""
	for _, row := range r.bySection() {
		if row.Section != section {
			section = row.Section
			_, _ = fmt.Fprintf(t, "|**%s**\t\t\t\t\t\t\t\n", section)
		}
		_, _ = fmt.Fprintf(t, "|%s\t\n", strings.Join(row.cells(), "\t")) // Flush reports what failed
	}
	return t.Flush()
}

// bySection are the rows of each section together, in the order in which sections first came.
func (r *Report) bySection() []Row {
	place := map[string]int{}
	for i := range r.Rows {
		if _, ok := place[r.Rows[i].Section]; !ok {
			place[r.Rows[i].Section] = i
		}
	}
	rows := slices.Clone(r.Rows)
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(place[a.Section], place[b.Section]) })
	return rows
}

func (row *Row) cells() []string {
	raw, ratio, target, met := "", "", "", ""
	if row.Raw != 0 {
		raw = join(number(row.Raw), row.RawUnit)
	}
	if row.Ratio != 0 {
		ratio = number(row.Ratio)
	}
	if row.Target != nil {
		target = row.Target.text(row.Unit)
		met = "no"
		if *row.Met {
			met = "yes"
		}
	}
	return []string{row.What, join(number(row.Figure), row.Unit), raw, ratio, target, met, row.Note}
}

// WriteJSON writes everything for machines.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

func join(n, unit string) string {
	if unit == "" {
		return n
	}
	return n + " " + unit
}

// number renders three digits that count, and large numbers with commas.
func number(f float64) string {
	switch a := math.Abs(f); {
	case a >= 1000:
		s := fmt.Sprintf("%.0f", f)
		for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case a >= 100 || f == math.Trunc(f):
		return fmt.Sprintf("%.0f", f)
	case a >= 10:
		return fmt.Sprintf("%.1f", f)
	case a >= 0.1:
		return fmt.Sprintf("%.2f", f)
	default:
		return fmt.Sprintf("%.3f", f)
	}
}
