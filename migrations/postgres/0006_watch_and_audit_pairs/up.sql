-- The hours in which a server watched the legacy API: one row per day, in days since the Unix epoch
-- in UTC, with one bit per hour.
CREATE TABLE legacy_watch (
    day BIGINT PRIMARY KEY,
    hours BIGINT NOT NULL
);

-- One index per pair of audit filters. Otherwise two filters that match many events each, but few
-- together, would be slow.
CREATE INDEX audit_events_by_actor_and_action ON audit_events (actor_id, action, at, seq) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_events_by_actor_and_door ON audit_events (actor_id, door, at, seq) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_events_by_action_and_door ON audit_events (action, door, at, seq);
CREATE INDEX audit_events_by_token_and_action ON audit_events (token_id, action, at, seq) WHERE token_id IS NOT NULL;
CREATE INDEX audit_events_by_token_and_door ON audit_events (token_id, door, at, seq) WHERE token_id IS NOT NULL;
CREATE INDEX audit_events_by_token_and_actor ON audit_events (token_id, actor_id, at, seq) WHERE token_id IS NOT NULL AND actor_id IS NOT NULL;
