DROP INDEX tokens_by_expiry;
DROP INDEX tokens_by_last_use;
DROP INDEX tokens_by_name;
DROP TABLE sessions;
