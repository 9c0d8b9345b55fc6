-- Who has signed in at the console: by the SHA-256 of a key that their browser alone has.
CREATE TABLE sessions (
    key_hash BLOB PRIMARY KEY NOT NULL CHECK (length(key_hash) = 32),
    admin TEXT NOT NULL REFERENCES admins (name) ON DELETE CASCADE,
    begun_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_admin ON sessions (admin);

-- One index for each order of the console's list of tokens; each ends with the number of the token.
CREATE INDEX tokens_by_name ON tokens (lower(name));
CREATE INDEX tokens_by_last_use ON tokens (last_used_at);
CREATE INDEX tokens_by_expiry ON tokens (expires_at);
