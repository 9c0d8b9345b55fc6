-- Console sessions, by the SHA-256 of a key that only the browser has.
CREATE TABLE sessions (
    key_hash BYTEA PRIMARY KEY CHECK (length(key_hash) = 32),
    admin TEXT COLLATE "C" NOT NULL REFERENCES admins (name) ON DELETE CASCADE,
    begun_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
CREATE INDEX sessions_by_admin ON sessions (admin);

-- One index per sort order of the console's token list.
CREATE INDEX tokens_by_name ON tokens (lower(name), seq);
CREATE INDEX tokens_by_last_use ON tokens (last_used_at, seq);
CREATE INDEX tokens_by_expiry ON tokens (expires_at, seq);
