-- The tables of one generation. Numbers that name strings point into words; 0 is "". Times are
-- milliseconds since 1970, positions are 64-bit integers, ids are 16 bytes if they are a UUID in its
-- usual writing, else text. A change of this file raises schemaVersion in schema.go: files of another
-- version are never altered, a new generation replaces them.

CREATE TABLE state (
	one      INTEGER PRIMARY KEY CHECK (one = 1),
	log      TEXT    NOT NULL,
	position INTEGER NOT NULL,
	versions TEXT    NOT NULL,
	parked   INTEGER NOT NULL,
	width    INTEGER NOT NULL -- positions in a span
) STRICT;

CREATE TABLE words (
	id   INTEGER PRIMARY KEY,
	word TEXT    NOT NULL UNIQUE
) STRICT;

-- What an execution is born with: written once.
CREATE TABLE executions (
	position   INTEGER PRIMARY KEY,
	id         ANY     NOT NULL,
	workflow   INTEGER NOT NULL,
	version    INTEGER NOT NULL,
	source     INTEGER NOT NULL,
	endpoint   INTEGER NOT NULL,
	flow       INTEGER NOT NULL,
	run        TEXT    NOT NULL,
	connection TEXT    NOT NULL,
	retry_of   ANY     NOT NULL,
	started_at INTEGER NOT NULL,
	input      BLOB,
	holes      BLOB
) STRICT;
CREATE INDEX executions_id       ON executions (id);
CREATE INDEX executions_workflow ON executions (workflow) WHERE workflow <> 0;
CREATE INDEX executions_source   ON executions (source)   WHERE source <> 0;
CREATE INDEX executions_flow     ON executions (flow)     WHERE flow <> 0;
CREATE INDEX executions_run      ON executions (run)      WHERE run <> '';
CREATE INDEX executions_connection ON executions (connection) WHERE connection <> '';
CREATE INDEX executions_retry_of   ON executions (retry_of)   WHERE retry_of <> '';

-- What changes while an execution runs: small rows, written again and again.
CREATE TABLE progress (
	execution     INTEGER PRIMARY KEY,
	status        INTEGER NOT NULL,
	since         INTEGER NOT NULL, -- position that it has this status from
	ended_at      INTEGER NOT NULL,
	node          INTEGER NOT NULL,
	failed_task   INTEGER NOT NULL,
	error_type    TEXT,
	error_code    TEXT,
	error_message TEXT,
	last_offset   INTEGER NOT NULL,
	last_position INTEGER NOT NULL,
	total         INTEGER NOT NULL,
	started       INTEGER NOT NULL,
	completed     INTEGER NOT NULL,
	failed        INTEGER NOT NULL,
	skipped       INTEGER NOT NULL,
	attempts      INTEGER NOT NULL
) STRICT;

CREATE TABLE statuses (
	execution INTEGER NOT NULL,
	since     INTEGER NOT NULL,
	status    INTEGER NOT NULL,
	until     INTEGER NOT NULL, -- 0 while it lasts
	PRIMARY KEY (execution, since)
) STRICT, WITHOUT ROWID;
CREATE INDEX statuses_open   ON statuses (status, execution) WHERE until = 0;
CREATE INDEX statuses_closed ON statuses (status, until)     WHERE until <> 0;

CREATE TABLE tasks (
	execution      INTEGER NOT NULL,
	task           INTEGER NOT NULL,
	iteration      INTEGER NOT NULL,
	id             ANY     NOT NULL,
	function       INTEGER NOT NULL,
	status         INTEGER NOT NULL,
	attempts       INTEGER NOT NULL,
	started_at     INTEGER NOT NULL,
	ended_at       INTEGER NOT NULL,
	started_offset INTEGER NOT NULL,
	ended_offset   INTEGER NOT NULL,
	error_type     TEXT,
	error_code     TEXT,
	error_message  TEXT,
	wait           INTEGER,         -- what it waits for, NULL most of the time
	channel        TEXT,
	due_at         INTEGER,
	wait_since     INTEGER,
	PRIMARY KEY (execution, task, iteration)
) STRICT, WITHOUT ROWID;

-- Requests for decisions: what they are born with is written once, then how they end.
CREATE TABLE approvals (
	position     INTEGER PRIMARY KEY,
	execution    INTEGER NOT NULL,
	execution_id ANY     NOT NULL,
	workflow     INTEGER NOT NULL,
	task         INTEGER NOT NULL,
	iteration    INTEGER NOT NULL,
	task_id      ANY     NOT NULL,
	asked_offset INTEGER NOT NULL,
	request      BLOB,
	holes        BLOB,
	asked_at     INTEGER NOT NULL,
	due_at       INTEGER NOT NULL,
	status       INTEGER NOT NULL,
	approver     TEXT    NOT NULL,
	comment      TEXT    NOT NULL,
	actor_kind   TEXT    NOT NULL,
	actor_id     TEXT    NOT NULL,
	ended_at     INTEGER NOT NULL,
	ended_offset INTEGER NOT NULL
) STRICT;
CREATE INDEX approvals_status          ON approvals (status);
CREATE INDEX approvals_execution       ON approvals (execution_id) WHERE execution_id <> '';
CREATE INDEX approvals_workflow        ON approvals (workflow)         WHERE workflow <> 0;
CREATE INDEX approvals_workflow_status ON approvals (workflow, status) WHERE workflow <> 0;

-- An index of the log: id, metadata and data are read from there. An event of an execution stands in
-- the stream "run-<id>"; what does not is told in strays, its execution here being 0.
CREATE TABLE events (
	position  INTEGER PRIMARY KEY,
	execution INTEGER NOT NULL,
	revision  INTEGER NOT NULL,
	type      INTEGER NOT NULL,
	node      INTEGER NOT NULL,
	function  INTEGER NOT NULL,
	workflow  INTEGER NOT NULL,
	at        INTEGER NOT NULL
) STRICT;
CREATE INDEX events_execution ON events (execution) WHERE execution <> 0;
CREATE INDEX events_type      ON events (type);
CREATE INDEX events_node      ON events (node)      WHERE node <> 0;
CREATE INDEX events_workflow  ON events (workflow)  WHERE workflow <> 0;

CREATE TABLE strays (
	position     INTEGER PRIMARY KEY,
	stream       TEXT    NOT NULL,
	execution    INTEGER NOT NULL,
	execution_id ANY     NOT NULL
) STRICT;
CREATE INDEX strays_execution_id ON strays (execution_id) WHERE execution_id <> '';

-- The earliest and latest instant among the events (kind 0) or the starts of executions (kind 1) of
-- a range of positions, so that a span of time becomes a range of positions.
CREATE TABLE spans (
	kind   INTEGER NOT NULL,
	level  INTEGER NOT NULL,
	bucket INTEGER NOT NULL,
	low    INTEGER NOT NULL,
	high   INTEGER NOT NULL,
	PRIMARY KEY (kind, level, bucket)
) STRICT, WITHOUT ROWID;

CREATE TABLE workflows (
	position      INTEGER PRIMARY KEY,
	id            ANY     NOT NULL UNIQUE,
	name          TEXT    NOT NULL,
	description   TEXT    NOT NULL,
	endpoint      TEXT    NOT NULL,
	version       INTEGER NOT NULL,
	graph         BLOB,
	holes         BLOB,
	created_at    INTEGER NOT NULL,
	updated_at    INTEGER NOT NULL,
	deleted       INTEGER NOT NULL,
	last_position INTEGER NOT NULL
) STRICT;
CREATE INDEX workflows_name     ON workflows (name)     WHERE deleted = 0;
CREATE INDEX workflows_endpoint ON workflows (endpoint) WHERE deleted = 0;

CREATE TABLE versions (
	workflow    ANY     NOT NULL,
	version     INTEGER NOT NULL,
	name        TEXT    NOT NULL,
	description TEXT    NOT NULL,
	endpoint    TEXT    NOT NULL,
	graph       BLOB,
	holes       BLOB,
	at          INTEGER NOT NULL,
	position    INTEGER NOT NULL,
	UNIQUE (workflow, version)
) STRICT;
CREATE INDEX versions_position ON versions (workflow, position);

CREATE TABLE names (
	flow         TEXT    NOT NULL,
	run          TEXT    NOT NULL,
	execution_id ANY     NOT NULL,
	position     INTEGER NOT NULL,
	offset       INTEGER NOT NULL,
	PRIMARY KEY (flow, run)
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoints (
	id         TEXT    PRIMARY KEY,
	slug       TEXT    NOT NULL,
	created_at INTEGER NOT NULL,
	position   INTEGER NOT NULL
) STRICT;
CREATE INDEX endpoints_position ON endpoints (position);

CREATE TABLE parked (
	position  INTEGER NOT NULL,
	projector TEXT    NOT NULL,
	stream    TEXT    NOT NULL,
	revision  INTEGER NOT NULL,
	type      TEXT    NOT NULL,
	reason    TEXT    NOT NULL,
	PRIMARY KEY (position, projector)
) STRICT, WITHOUT ROWID;
