-- Who has used which legacy door. Nobody, no user agent and, in the row that stands for all who are too many to be told apart, no client
-- are empty texts, so that the key has no null. total also counts the days that are not kept any more.
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

-- How often, by day: the number of days since the Unix epoch, UTC.
CREATE TABLE legacy_calls (
    caller_seq BIGINT NOT NULL REFERENCES legacy_callers (seq) ON DELETE CASCADE,
    day BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    PRIMARY KEY (caller_seq, day)
) WITHOUT ROWID;
CREATE INDEX legacy_calls_by_day ON legacy_calls (day);
