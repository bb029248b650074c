-- Events that a target of a relay did not take, until they are sent again or let go.
CREATE TABLE {{schema}}.poison (
	target   text NOT NULL,
	position bigint NOT NULL,         -- in the log
	stream   text NOT NULL,
	revision bigint NOT NULL,
	event    text NOT NULL,
	type     text NOT NULL,
	attempts integer NOT NULL,
	reason   text NOT NULL,
	at       timestamptz NOT NULL,
	PRIMARY KEY (target, position)
)
