-- What would take a reading of the whole log to find out again; thrown away without harm.
CREATE TABLE {{schema}}.snapshots (
	log      text NOT NULL,           -- its id
	name     text NOT NULL,
	position bigint NOT NULL,         -- that it is as of
	data     bytea NOT NULL,
	saved_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (log, name)
)
