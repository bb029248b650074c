// Package postgres keeps the views in PostgreSQL 13 or newer: an adapter of projections.Generations and
// of the queries of readapi.
//
// Everything a projector commits is one transaction, and mostly one round trip: small batches are
// upserts over arrays in one pipeline, large ones COPY. Everything a reader asks is one pipeline in one
// read-only snapshot with a statement timeout, so that rows and the checkpoint they belong to agree.
//
// It is safe behind a pooler that gives each transaction another server connection (PgBouncer's
// transaction mode): no session state is used. Statements are unnamed and carry their parameter types,
// settings and locks are local to a transaction, names are qualified by schema.
//
// A registry schema knows the generations; each generation is a schema of its own, dropped as a whole.
// Texts are columns of type bytea: NUL and bytes that are not UTF-8 survive, and order and equality are
// those of the bytes whatever the database's encoding and collation. In psql: convert_from(node, 'UTF8').
package postgres
