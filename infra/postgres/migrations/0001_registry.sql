-- The generations of the views; each is a schema named after this one and its number.
CREATE TABLE {{schema}}.generations (
	number bigint PRIMARY KEY,
	layout bigint NOT NULL,          -- of its tables: layout.sql of the program that made it
	phase  text NOT NULL CHECK (phase IN ('building', 'current', 'retired'))
);
-- Exactly one is current once the first was made, and at most one is being built.
CREATE UNIQUE INDEX generations_phase ON {{schema}}.generations (phase) WHERE phase <> 'retired';
-- A number is never used twice: whoever holds a generation that was dropped must not meet another.
CREATE SEQUENCE {{schema}}.generation_numbers;
