-- Number of uses of a token per day, by days since the Unix epoch in UTC, and by outcome: accepted,
-- or the reason of the refusal. last_* describe the last of these uses.
CREATE TABLE token_uses (
    token_seq BIGINT NOT NULL REFERENCES tokens (seq) ON DELETE CASCADE,
    day BIGINT NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    uses BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    last_channel TEXT NOT NULL,
    last_client TEXT,
    PRIMARY KEY (token_seq, day, outcome)
);
CREATE INDEX token_uses_by_day ON token_uses (day);
