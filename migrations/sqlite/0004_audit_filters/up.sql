-- One index per filter of audit events, in list order: by time, then by number. In SQLite each
-- index ends with the row number implicitly.
CREATE INDEX audit_events_by_actor ON audit_events (actor_id, at) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_events_by_action ON audit_events (action, at);
CREATE INDEX audit_events_by_door ON audit_events (door, at);
DROP INDEX audit_events_by_token;
CREATE INDEX audit_events_by_token ON audit_events (token_id, at) WHERE token_id IS NOT NULL;
