-- The channel of an event: which API, page or command made the change.
ALTER TABLE audit_events RENAME COLUMN door TO channel;
ALTER INDEX audit_events_by_door RENAME TO audit_events_by_channel;
ALTER INDEX audit_events_by_actor_and_door RENAME TO audit_events_by_actor_and_channel;
ALTER INDEX audit_events_by_action_and_door RENAME TO audit_events_by_action_and_channel;
ALTER INDEX audit_events_by_token_and_door RENAME TO audit_events_by_token_and_channel;
