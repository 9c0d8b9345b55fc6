-- store_id tells the announcements of this store from those of others in the same database.
-- value counts the changes that can make what a server remembers wrong: one row, advanced as the last step of each such change.
CREATE TABLE revision (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    value BIGINT NOT NULL,
    store_id TEXT NOT NULL
);
INSERT INTO revision (id, value, store_id) VALUES (1, 0, gen_random_uuid()::text);
