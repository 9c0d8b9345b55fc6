DROP INDEX tokens_disabled;
DROP INDEX tokens_by_creator;
DROP INDEX tokens_by_owner;
DROP INDEX tokens_by_exact_name;
ALTER TABLE tokens DROP COLUMN disabled_at;
ALTER TABLE tokens DROP COLUMN owner;
ALTER TABLE tokens DROP COLUMN description;
