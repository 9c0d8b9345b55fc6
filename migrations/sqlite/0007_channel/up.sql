-- The channel of an event: which API, page or command made the change. SQLite cannot rename an index, so they are created again.
DROP INDEX audit_events_by_door;
DROP INDEX audit_events_by_actor_and_door;
DROP INDEX audit_events_by_action_and_door;
DROP INDEX audit_events_by_token_and_door;
ALTER TABLE audit_events RENAME COLUMN door TO channel;
CREATE INDEX audit_events_by_channel ON audit_events (channel, at);
CREATE INDEX audit_events_by_actor_and_channel ON audit_events (actor_id, channel, at) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_events_by_action_and_channel ON audit_events (action, channel, at);
CREATE INDEX audit_events_by_token_and_channel ON audit_events (token_id, channel, at) WHERE token_id IS NOT NULL;
