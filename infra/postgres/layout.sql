-- One generation of the views. A change of this file is a new layout (layoutVersion): databases get it
-- with their next generation, never by altering tables.
--
-- Positions are those of the log. Texts are bytea, see doc.go. fillfactor leaves room where rows are
-- updated, so that an update touches no index.

CREATE TABLE {{schema}}.state (
	single          boolean PRIMARY KEY DEFAULT true CHECK (single),
	log             bytea NOT NULL DEFAULT '',
	position        bigint NOT NULL DEFAULT 0,
	versions        text NOT NULL DEFAULT '{}',     -- projector -> version, JSON
	retired         boolean NOT NULL DEFAULT false, -- another generation has become the current one
	partition_width bigint NOT NULL                 -- see need in partitions.go
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
INSERT INTO {{schema}}.state (partition_width) VALUES ({{partition_width}});

CREATE TABLE {{schema}}.executions (
	position         bigint PRIMARY KEY,            -- of its first event
	id               bytea NOT NULL,
	workflow_id      bytea NOT NULL,
	workflow_version bigint NOT NULL,
	source           bytea NOT NULL,
	endpoint         bytea NOT NULL,
	flow_name        bytea NOT NULL,
	run_name         bytea NOT NULL,
	connection_id    bytea NOT NULL,
	retry_of         bytea NOT NULL,
	status           bytea NOT NULL,
	status_since     bigint NOT NULL,
	started_at       timestamptz NOT NULL,
	ended_at         timestamptz,                   -- NULL while it has no end
	input            bytea,                         -- JSON as it was sent
	input_holes      bytea,                         -- where secrets and blobs belong in it
	current_node     bytea NOT NULL,
	failed_task      bytea NOT NULL,
	error_type       bytea NOT NULL,
	error_code       bytea NOT NULL,
	error_message    bytea NOT NULL,
	last_offset      bigint NOT NULL,
	last_position    bigint NOT NULL,
	tasks_total      integer NOT NULL,
	tasks_started    integer NOT NULL,
	tasks_completed  integer NOT NULL,
	tasks_failed     integer NOT NULL,
	tasks_skipped    integer NOT NULL,
	attempts         integer NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX executions_id ON {{schema}}.executions (id);
CREATE INDEX executions_workflow ON {{schema}}.executions (workflow_id, position);
CREATE INDEX executions_source ON {{schema}}.executions (source, position);
CREATE INDEX executions_flow ON {{schema}}.executions (flow_name, position) WHERE flow_name <> '';
CREATE INDEX executions_run ON {{schema}}.executions (run_name, position) WHERE run_name <> '';
CREATE INDEX executions_connection ON {{schema}}.executions (connection_id, position) WHERE connection_id <> '';
CREATE INDEX executions_retry_of ON {{schema}}.executions (retry_of, position) WHERE retry_of <> '';

-- The status of an execution after the events at [from_position, to_position); 0 while it lasts.
CREATE TABLE {{schema}}.statuses (
	execution     bigint NOT NULL,
	from_position bigint NOT NULL,
	status        bytea NOT NULL,
	to_position   bigint NOT NULL,
	PRIMARY KEY (execution, from_position)
);
CREATE INDEX statuses_open ON {{schema}}.statuses (status, execution) WHERE to_position = 0;
CREATE INDEX statuses_closed ON {{schema}}.statuses (status, to_position) INCLUDE (execution, from_position)
	WHERE to_position <> 0;

CREATE TABLE {{schema}}.tasks (
	execution      bigint NOT NULL,
	task           bytea NOT NULL,
	iteration      integer NOT NULL,
	task_id        bytea NOT NULL,
	function       bytea NOT NULL,
	status         bytea NOT NULL,
	attempts       integer NOT NULL,
	started_at     timestamptz,                     -- NULL if it was skipped
	ended_at       timestamptz,                     -- NULL while it has no end
	started_offset bigint NOT NULL,
	ended_offset   bigint NOT NULL,                 -- -1 while it has no end
	error_type     bytea NOT NULL,
	error_code     bytea NOT NULL,
	error_message  bytea NOT NULL,
	wait           bytea NOT NULL,                  -- what it waits for, '' if it does not
	channel        bytea NOT NULL,
	due_at         timestamptz,
	wait_since     bigint NOT NULL,
	PRIMARY KEY (execution, task, iteration)
) WITH (fillfactor = 85);

CREATE TABLE {{schema}}.approvals (
	position      bigint PRIMARY KEY,               -- of the event that asked
	execution     bigint NOT NULL,
	execution_id  bytea NOT NULL,
	workflow_id   bytea NOT NULL,
	task          bytea NOT NULL,
	iteration     integer NOT NULL,
	task_id       bytea NOT NULL,
	asked_offset  bigint NOT NULL,
	request       bytea,
	request_holes bytea,
	requested_at  timestamptz,                      -- NULL in rows that only end one
	due_at        timestamptz,
	status        bytea NOT NULL,
	approver      bytea NOT NULL,
	comment       bytea NOT NULL,
	actor_kind    bytea NOT NULL,
	actor_id      bytea NOT NULL,
	ended_at      timestamptz,                      -- NULL while pending
	ended_offset  bigint NOT NULL                   -- -1 while pending
);
CREATE INDEX approvals_status ON {{schema}}.approvals (status, position);
CREATE INDEX approvals_execution ON {{schema}}.approvals (execution_id, position) WHERE execution_id <> '';
CREATE INDEX approvals_workflow ON {{schema}}.approvals (workflow_id, position) WHERE workflow_id <> '';
CREATE INDEX approvals_workflow_status ON {{schema}}.approvals (workflow_id, status, position) WHERE workflow_id <> '';

-- Partitions events_<from> hold the positions [from_position, to_position); commits make them.
CREATE TABLE {{schema}}.partitions (
	from_position bigint PRIMARY KEY,
	to_position   bigint NOT NULL
);
CREATE TABLE {{schema}}.events (
	position     bigint PRIMARY KEY,
	execution    bigint NOT NULL,                   -- key of its execution, 0 if it belongs to none
	revision     bigint NOT NULL,
	at           timestamptz NOT NULL,
	id           uuid NOT NULL,
	stream       bytea NOT NULL,
	type         bytea NOT NULL,
	execution_id bytea NOT NULL,
	workflow_id  bytea NOT NULL,
	node         bytea NOT NULL,
	node_type    bytea NOT NULL,
	metadata     bytea,
	data         bytea
) PARTITION BY RANGE (position);
CREATE INDEX events_execution ON {{schema}}.events (execution_id, position) WHERE execution_id <> '';
CREATE INDEX events_workflow ON {{schema}}.events (workflow_id, position) WHERE workflow_id <> '';
CREATE INDEX events_type ON {{schema}}.events (type, position);
CREATE INDEX events_node ON {{schema}}.events (node, position) WHERE node <> '';

-- The instants of the events at [from_position, to_position], some thousand of them: a range of time
-- becomes a range of positions, whatever the clocks did.
CREATE TABLE {{schema}}.spans (
	from_position bigint PRIMARY KEY,
	to_position   bigint NOT NULL,
	events        bigint NOT NULL,
	min_at        timestamptz NOT NULL,
	max_at        timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE {{schema}}.workflows (
	id            bytea PRIMARY KEY,
	position      bigint NOT NULL,
	name          bytea NOT NULL,
	description   bytea NOT NULL,
	endpoint      bytea NOT NULL,
	version       bigint NOT NULL,
	graph         bytea,
	graph_holes   bytea,
	created_at    timestamptz NOT NULL,
	updated_at    timestamptz NOT NULL,
	deleted       boolean NOT NULL,
	last_position bigint NOT NULL
);
CREATE INDEX workflows_position ON {{schema}}.workflows (position);
CREATE INDEX workflows_endpoint ON {{schema}}.workflows (endpoint, position) WHERE NOT deleted;
CREATE INDEX workflows_name ON {{schema}}.workflows (name, position) WHERE NOT deleted;

CREATE TABLE {{schema}}.workflow_versions (
	workflow_id bytea NOT NULL,
	version     bigint NOT NULL,
	position    bigint NOT NULL,
	name        bytea NOT NULL,
	description bytea NOT NULL,
	endpoint    bytea NOT NULL,
	graph       bytea,
	graph_holes bytea,
	at          timestamptz NOT NULL,
	PRIMARY KEY (workflow_id, version)
);
CREATE INDEX workflow_versions_position ON {{schema}}.workflow_versions (workflow_id, position);

CREATE TABLE {{schema}}.names (
	flow_name    bytea NOT NULL,
	run_name     bytea NOT NULL,
	execution_id bytea NOT NULL,
	position     bigint NOT NULL,
	revision     bigint NOT NULL,
	PRIMARY KEY (flow_name, run_name)
);

CREATE TABLE {{schema}}.endpoints (
	id         bytea PRIMARY KEY,
	position   bigint NOT NULL,
	slug       bytea NOT NULL,
	created_at timestamptz NOT NULL
);
CREATE INDEX endpoints_position ON {{schema}}.endpoints (position);

CREATE TABLE {{schema}}.parked (
	position  bigint NOT NULL,
	projector bytea NOT NULL,
	stream    bytea NOT NULL,
	revision  bigint NOT NULL,
	type      bytea NOT NULL,
	reason    bytea NOT NULL,
	PRIMARY KEY (position, projector)
);
