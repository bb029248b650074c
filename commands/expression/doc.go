// Package expression evaluates the conditions and data expressions of workflows.
//
// The language is expr-lang's (its parser is used) with Python's spelling and meaning where people
// write conditions in Python (contract D24): and/or/not, True/False/None, len(x),
// x.get(key[, default]), x in y, 1 < x < 3, negative indices. Names at top level are the fields of
// the source's output, then output, nodes and input, which win; a name or key that does not exist
// is None. What the language does not have is refused when the expression is compiled, naming the
// token: `not a == b` (expr-lang and Python group it differently), //, ^, .., is, methods other
// than get, and functions that are not in the table of functions.go, such as now().
//
// Meanings worth knowing:
//   - Truth is Python's: None, False, 0, "", [] and {} are false, everything else is true, so the
//     text "false" is true. and/or give one of their operands.
//   - Numbers are int64 where the JSON text is an integer in range, else float64; beyond float64
//     (1e400) reading one is an error, but handing it on unread keeps its text. Integer overflow
//     is an error. % and negative indices follow Python; / always gives a float.
//   - == compares numbers by value and containers deeply; other kinds are never equal.
//     Order is defined among numbers and among strings.
//
// Evaluation is deterministic (no clock, no randomness, object keys in sorted order) and bounded:
// SourceBytesMax, NodesMax, ScopeBytesMax and WorkMax hold for every input. expr-lang's own
// virtual machine is not used, because it bounds memory only in part ("a" + "a" in nested lets
// doubles without limit) and time not at all: all(a, all(a, all(a, true))) over a thousand items
// would hold up a decision for days. The tree is walked here instead, with a count of the work.
package expression
