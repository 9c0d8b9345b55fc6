ALTER TABLE sessions DROP COLUMN user_agent;
ALTER TABLE sessions DROP COLUMN client;
DROP INDEX audit_events_by_token_name;
DROP INDEX audit_events_by_token_name_and_action;
ALTER TABLE audit_events DROP COLUMN token_name;
