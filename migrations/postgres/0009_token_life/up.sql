-- The description of a token, the person or team to ask about it, and the time since when every use
-- is refused.
ALTER TABLE tokens ADD COLUMN description TEXT;
ALTER TABLE tokens ADD COLUMN owner TEXT;
ALTER TABLE tokens ADD COLUMN disabled_at BIGINT;

-- One index per exact filter of the token list, in list order.
CREATE INDEX tokens_by_exact_name ON tokens (name, seq);
CREATE INDEX tokens_by_owner ON tokens (owner, seq) WHERE owner IS NOT NULL;
CREATE INDEX tokens_by_creator ON tokens (created_by_id, seq);
CREATE INDEX tokens_disabled ON tokens (seq) WHERE disabled_at IS NOT NULL;
