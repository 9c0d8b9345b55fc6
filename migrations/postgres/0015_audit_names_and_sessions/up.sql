-- The name of the token after the event, so that events are found by it after the token was renamed
-- or deleted.
ALTER TABLE audit_events ADD COLUMN token_name TEXT;

-- Creating these indexes again takes less time than updating them with every event.
DROP INDEX audit_events_by_action,
    audit_events_by_action_and_channel,
    audit_events_by_actor,
    audit_events_by_actor_and_action,
    audit_events_by_actor_and_channel,
    audit_events_by_channel,
    audit_events_by_time,
    audit_events_by_token,
    audit_events_by_token_and_action,
    audit_events_by_token_and_actor,
    audit_events_by_token_and_channel;

-- Earlier events: the name in their details, else that of the preceding event, else the current
-- one. A run is an event with a name and the following ones without: they share its number.
UPDATE audit_events SET token_name = COALESCE(named.token_name, tokens.name)
FROM (
    SELECT seq, token_id, MAX(own_name) OVER (PARTITION BY token_id, run) AS token_name
    FROM (
        SELECT seq, token_id, own_name, COUNT(own_name) OVER (PARTITION BY token_id ORDER BY seq) AS run
        FROM (
            SELECT seq, token_id, CASE json_typeof(details::json -> 'name')
                WHEN 'string' THEN details::json ->> 'name'
                WHEN 'object' THEN details::json -> 'name' ->> 'to'
            END AS own_name
            FROM audit_events WHERE token_id IS NOT NULL
        ) AS events
    ) AS runs
) AS named
LEFT JOIN tokens ON tokens.id = named.token_id
WHERE named.seq = audit_events.seq;

CREATE INDEX audit_events_by_action ON audit_events (action, at, seq);
CREATE INDEX audit_events_by_action_and_channel ON audit_events (action, channel, at, seq);
CREATE INDEX audit_events_by_actor ON audit_events (actor_id, at, seq) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_events_by_actor_and_action ON audit_events (actor_id, action, at, seq)
    WHERE actor_id IS NOT NULL;
CREATE INDEX audit_events_by_actor_and_channel ON audit_events (actor_id, channel, at, seq)
    WHERE actor_id IS NOT NULL;
CREATE INDEX audit_events_by_channel ON audit_events (channel, at, seq);
CREATE INDEX audit_events_by_time ON audit_events (at, seq);
CREATE INDEX audit_events_by_token ON audit_events (token_id, at, seq) WHERE token_id IS NOT NULL;
CREATE INDEX audit_events_by_token_and_action ON audit_events (token_id, action, at, seq)
    WHERE token_id IS NOT NULL;
CREATE INDEX audit_events_by_token_and_actor ON audit_events (token_id, actor_id, at, seq)
    WHERE token_id IS NOT NULL AND actor_id IS NOT NULL;
CREATE INDEX audit_events_by_token_and_channel ON audit_events (token_id, channel, at, seq)
    WHERE token_id IS NOT NULL;

-- The events of a name, and those with an action. Other filters look through the events of the
-- name.
CREATE INDEX audit_events_by_token_name ON audit_events (token_name, at, seq)
    WHERE token_name IS NOT NULL;
CREATE INDEX audit_events_by_token_name_and_action
    ON audit_events (token_name, action, at, seq) WHERE token_name IS NOT NULL;

-- Where a session was started, and by which program, so that its admin recognizes it.
ALTER TABLE sessions ADD COLUMN client TEXT;
ALTER TABLE sessions ADD COLUMN user_agent TEXT NOT NULL DEFAULT '';
