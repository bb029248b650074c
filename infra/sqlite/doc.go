// Package sqlite keeps the views in SQLite files, the default of a single machine.
//
// Each generation is one file, views-000001.db and on, beside a small file that names the current
// one; replacing that file is what promotes a generation. One connection writes, a bounded pool
// reads, each reading from one snapshot. Events are an index of the log: their bytes are read from
// there. Losing the folder loses nothing: views are built again from the log.
package sqlite
