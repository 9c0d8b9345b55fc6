-- The name of the token after the event, so that events are found by it after the token was renamed
-- or deleted.
ALTER TABLE audit_events ADD COLUMN token_name TEXT;

-- Earlier events: the name in their details, else that of the preceding event, else the current
-- one.
UPDATE audit_events SET token_name = CASE json_typeof(details::json -> 'name')
    WHEN 'string' THEN details::json ->> 'name'
    WHEN 'object' THEN details::json -> 'name' ->> 'to'
END
WHERE token_id IS NOT NULL AND details LIKE '%"name":%';
UPDATE audit_events SET token_name = COALESCE(
    (
        SELECT earlier.token_name FROM audit_events AS earlier
        WHERE earlier.token_id = audit_events.token_id AND earlier.at <= audit_events.at
            AND earlier.seq < audit_events.seq AND earlier.token_name IS NOT NULL
        ORDER BY earlier.at DESC, earlier.seq DESC LIMIT 1
    ),
    (SELECT name FROM tokens WHERE tokens.id = audit_events.token_id)
)
WHERE token_id IS NOT NULL AND token_name IS NULL;

-- The events of a name, and those with an action. Other filters look through the events of the
-- name.
CREATE INDEX audit_events_by_token_name ON audit_events (token_name, at, seq)
    WHERE token_name IS NOT NULL;
CREATE INDEX audit_events_by_token_name_and_action
    ON audit_events (token_name, action, at, seq) WHERE token_name IS NOT NULL;

-- Where a session was started, and by which program, so that its admin recognizes it.
ALTER TABLE sessions ADD COLUMN client TEXT;
ALTER TABLE sessions ADD COLUMN user_agent TEXT NOT NULL DEFAULT '';
