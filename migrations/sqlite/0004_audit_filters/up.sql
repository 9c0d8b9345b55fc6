-- One index for each filter of the audit events, in the order of their lists: by time, then by number, which each index ends with.
CREATE INDEX audit_events_by_actor ON audit_events (actor_id, at) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_events_by_action ON audit_events (action, at);
CREATE INDEX audit_events_by_door ON audit_events (door, at);
DROP INDEX audit_events_by_token;
CREATE INDEX audit_events_by_token ON audit_events (token_id, at) WHERE token_id IS NOT NULL;
