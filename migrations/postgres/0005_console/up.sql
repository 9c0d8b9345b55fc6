-- Who has signed in at the console: by the SHA-256 of a key that their browser alone has.
CREATE TABLE sessions (
    key_hash BYTEA PRIMARY KEY CHECK (length(key_hash) = 32),
    admin TEXT COLLATE "C" NOT NULL REFERENCES admins (name) ON DELETE CASCADE,
    begun_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
CREATE INDEX sessions_by_admin ON sessions (admin);

-- One index for each order of the console's list of tokens.
CREATE INDEX tokens_by_name ON tokens (lower(name), seq);
CREATE INDEX tokens_by_last_use ON tokens (last_used_at, seq);
CREATE INDEX tokens_by_expiry ON tokens (expires_at, seq);
