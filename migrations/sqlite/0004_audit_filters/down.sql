DROP INDEX audit_events_by_token;
CREATE INDEX audit_events_by_token ON audit_events (token_id) WHERE token_id IS NOT NULL;
DROP INDEX audit_events_by_door;
DROP INDEX audit_events_by_action;
DROP INDEX audit_events_by_actor;
