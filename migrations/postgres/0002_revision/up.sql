-- A single row. store_id distinguishes the announcements of this store from those of others in the
-- same database.
-- value grows with each change that can invalidate a server's cache, as the last step of its
-- transaction.
CREATE TABLE revision (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    value BIGINT NOT NULL,
    store_id TEXT NOT NULL
);
INSERT INTO revision (id, value, store_id) VALUES (1, 0, gen_random_uuid()::text);
