-- The description of a token, the person or team to ask about it, and the time since when every use
-- is refused.
ALTER TABLE tokens ADD COLUMN description TEXT;
ALTER TABLE tokens ADD COLUMN owner TEXT;
ALTER TABLE tokens ADD COLUMN disabled_at BIGINT;

-- One index per exact filter of the token list, in list order. In SQLite each index ends with the
-- row number implicitly.
CREATE INDEX tokens_by_exact_name ON tokens (name);
CREATE INDEX tokens_by_owner ON tokens (owner) WHERE owner IS NOT NULL;
CREATE INDEX tokens_by_creator ON tokens (created_by_id);
CREATE INDEX tokens_disabled ON tokens (seq) WHERE disabled_at IS NOT NULL;
