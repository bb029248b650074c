// Package view holds the rows that projectors fill and the questions that readers ask of them: types
// only, shared by projections, which writes them, and readapi, which serves them.
//
// Every row is a pure function of the log up to a position. Rows carry times as instants of events,
// never of projecting, and payloads as domain.Value, so that secrets stay holes and bytes stay bytes.
package view
