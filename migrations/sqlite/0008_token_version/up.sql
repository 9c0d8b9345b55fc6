-- The version of a token: 1 when it is created, and one more with each change, so that an update
-- can require that nothing changed since its caller read the token. A use does not change it.
ALTER TABLE tokens ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
