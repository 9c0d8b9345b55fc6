-- One index per filter of audit events, in list order: by time, then by number.
CREATE INDEX audit_events_by_actor ON audit_events (actor_id, at, seq) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_events_by_action ON audit_events (action, at, seq);
CREATE INDEX audit_events_by_door ON audit_events (door, at, seq);
DROP INDEX audit_events_by_token;
CREATE INDEX audit_events_by_token ON audit_events (token_id, at, seq) WHERE token_id IS NOT NULL;
DROP INDEX audit_events_by_time;
CREATE INDEX audit_events_by_time ON audit_events (at, seq);
