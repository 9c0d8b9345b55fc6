ALTER TABLE tokens DROP COLUMN version;
