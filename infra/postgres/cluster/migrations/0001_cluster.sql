-- Which nodes are alive, judged by this database's clock. A node is one process. Nodes of other logs may
-- share the tables and are no members of each other.
CREATE TABLE {{schema}}.members (
	log         text NOT NULL,
	incarnation text NOT NULL,
	name        text NOT NULL,        -- of its machine
	version     text NOT NULL,        -- of its program
	level       integer NOT NULL,     -- the highest feature level it knows
	draining    boolean NOT NULL DEFAULT false,
	joined      timestamptz NOT NULL,
	seen        timestamptz NOT NULL, -- its last renewal
	until       timestamptz NOT NULL, -- the end of its lease
	PRIMARY KEY (log, incarnation)
);
-- The feature level in force of each log; it only grows. Whoever joins or raises it locks its row.
CREATE TABLE {{schema}}.levels (
	log   text PRIMARY KEY,
	level integer NOT NULL
);
-- Data keys, each wrapped by the master key, which is not here.
CREATE TABLE {{schema}}.data_keys (
	stream  bytea PRIMARY KEY,        -- SHA-256 of its id
	wrapped bytea NOT NULL,
	created timestamptz NOT NULL DEFAULT now()
);
-- What names the master key that wrapped them: one row.
CREATE TABLE {{schema}}.master (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	id  bytea NOT NULL
);
-- Large payloads by their SHA-256, in parts.
CREATE TABLE {{schema}}.blobs (
	sha256 bytea NOT NULL,
	part   integer NOT NULL,
	bytes  bigint NOT NULL,           -- of all parts together
	data   bytea NOT NULL,
	PRIMARY KEY (sha256, part)
)
