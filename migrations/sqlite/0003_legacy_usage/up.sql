-- Callers of the legacy endpoints. Empty texts stand for an unauthenticated actor, a missing user
-- agent, and the client of the row that aggregates all callers beyond the limit, so that the unique
-- key contains no null. total includes days whose calls were removed.
CREATE TABLE legacy_callers (
    seq INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    prefix TEXT NOT NULL,
    method TEXT NOT NULL,
    actor_type TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    client TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    total BIGINT NOT NULL,
    UNIQUE (prefix, method, actor_type, actor_id, client, user_agent)
);
CREATE INDEX legacy_callers_by_last_seen ON legacy_callers (last_seen);

-- Number of calls per day, by days since the Unix epoch in UTC.
CREATE TABLE legacy_calls (
    caller_seq BIGINT NOT NULL REFERENCES legacy_callers (seq) ON DELETE CASCADE,
    day BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    PRIMARY KEY (caller_seq, day)
) WITHOUT ROWID;
CREATE INDEX legacy_calls_by_day ON legacy_calls (day);
