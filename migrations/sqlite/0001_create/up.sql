-- Times are microseconds since the Unix epoch in UTC. Lists are texts, separated by spaces.
CREATE TABLE tokens (
    seq INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    permissions TEXT NOT NULL,
    allowed_cidr_blocks TEXT NOT NULL,
    value_hash BLOB UNIQUE CHECK (length(value_hash) = 32),
    created_at BIGINT NOT NULL,
    created_by_type TEXT NOT NULL,
    created_by_id TEXT NOT NULL,
    updated_at BIGINT,
    updated_by_type TEXT,
    updated_by_id TEXT,
    rotated_at BIGINT,
    last_used_at BIGINT,
    expires_at BIGINT
);

-- Previous values in their grace period.
CREATE TABLE grace_values (
    value_hash BLOB PRIMARY KEY NOT NULL CHECK (length(value_hash) = 32),
    token_seq BIGINT NOT NULL REFERENCES tokens (seq) ON DELETE CASCADE,
    valid_until BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX grace_values_by_token ON grace_values (token_seq);

CREATE TABLE admins (
    name TEXT PRIMARY KEY NOT NULL,
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    password_changed_at BIGINT
) WITHOUT ROWID;

CREATE TABLE audit_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    at BIGINT NOT NULL,
    actor_type TEXT,
    actor_id TEXT,
    door TEXT NOT NULL,
    client TEXT,
    action TEXT NOT NULL,
    token_id TEXT,
    details TEXT NOT NULL
);
CREATE INDEX audit_events_by_time ON audit_events (at);
CREATE INDEX audit_events_by_token ON audit_events (token_id) WHERE token_id IS NOT NULL;
