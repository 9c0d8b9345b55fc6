-- For the number of expiring tokens in the console, and their lists: enabled tokens with a value and an expiry.
CREATE INDEX tokens_expiring ON tokens (expires_at) WHERE disabled_at IS NULL AND value_hash IS NOT NULL AND expires_at IS NOT NULL;
