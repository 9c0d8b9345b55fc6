-- For the numbers beside the filters of the console: tokens that were never used, and tokens by the age of their value.
CREATE INDEX tokens_never_used ON tokens (created_at) WHERE last_used_at IS NULL;
CREATE INDEX tokens_by_value_age ON tokens (coalesce(rotated_at, created_at)) WHERE value_hash IS NOT NULL;
