ALTER TABLE tokens DROP COLUMN value_unclaimed;
DROP TABLE idempotency_keys;
