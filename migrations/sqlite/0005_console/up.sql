-- Console sessions, by the SHA-256 of a key that only the browser has.
CREATE TABLE sessions (
    key_hash BLOB PRIMARY KEY NOT NULL CHECK (length(key_hash) = 32),
    admin TEXT NOT NULL REFERENCES admins (name) ON DELETE CASCADE,
    begun_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_admin ON sessions (admin);

-- One index per sort order of the console's token list. In SQLite each index ends with the row
-- number implicitly.
CREATE INDEX tokens_by_name ON tokens (lower(name));
CREATE INDEX tokens_by_last_use ON tokens (last_used_at);
CREATE INDEX tokens_by_expiry ON tokens (expires_at);
