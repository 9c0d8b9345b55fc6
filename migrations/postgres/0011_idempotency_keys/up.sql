-- Requests with an idempotency key. key_hash is the SHA-256 of the key, the caller, the operation
-- and its target; value_hash is that of the value in the last response. A token can be deleted
-- before its key expires.
CREATE TABLE idempotency_keys (
    key_hash BYTEA PRIMARY KEY CHECK (length(key_hash) = 32),
    payload_hash BYTEA NOT NULL CHECK (length(payload_hash) = 32),
    token_id TEXT COLLATE "C" NOT NULL,
    value_hash BYTEA NOT NULL CHECK (length(value_hash) = 32),
    created_at BIGINT NOT NULL
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);

-- True if the current value was issued under an idempotency key and has never been presented.
ALTER TABLE tokens ADD COLUMN value_unclaimed BOOLEAN NOT NULL DEFAULT FALSE;
