-- For the numbers beside the filters of the console: tokens that were never used, and tokens by the age of their value.
CREATE INDEX tokens_never_used ON tokens (created_at) WHERE last_used_at IS NULL;
CREATE INDEX tokens_by_value_age ON tokens (coalesce(rotated_at, created_at)) WHERE value_hash IS NOT NULL;

-- Whether a token with these CIDR blocks may be used from an address of a network. In SQLite, the program defines this
-- function.
CREATE FUNCTION blocks_overlap(blocks TEXT, network TEXT) RETURNS BOOLEAN LANGUAGE SQL IMMUTABLE PARALLEL SAFE AS $$
    SELECT blocks = '' OR EXISTS (
        SELECT 1 FROM unnest(string_to_array(blocks, ' ')) AS block WHERE block::inet && network::inet
    )
$$;
