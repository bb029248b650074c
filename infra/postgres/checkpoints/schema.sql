-- How far consumers of the log have come. One row a consumer; moved only from the position that its
-- mover knows.
CREATE SCHEMA IF NOT EXISTS {{schema}};
CREATE TABLE IF NOT EXISTS {{schema}}.checkpoints (
	name text COLLATE "C" PRIMARY KEY,
	log text NOT NULL,
	position bigint NOT NULL CHECK (position >= 0),
	saved_at timestamptz NOT NULL DEFAULT now()
);
