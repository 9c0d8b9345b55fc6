DROP INDEX audit_events_by_token_and_channel;
DROP INDEX audit_events_by_action_and_channel;
DROP INDEX audit_events_by_actor_and_channel;
DROP INDEX audit_events_by_channel;
ALTER TABLE audit_events RENAME COLUMN channel TO door;
CREATE INDEX audit_events_by_door ON audit_events (door, at);
CREATE INDEX audit_events_by_actor_and_door ON audit_events (actor_id, door, at) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_events_by_action_and_door ON audit_events (action, door, at);
CREATE INDEX audit_events_by_token_and_door ON audit_events (token_id, door, at) WHERE token_id IS NOT NULL;
