INSERT INTO audit_events (at, actor_type, actor_id, channel, client, action, token_id, details) VALUES
    (1893369630000000, 'user', 'admin', 'console', '127.0.0.1', 'token.updated', '460e0288-3987-4a3f-b2e2-8d94716126e4', '{"expiresAt":{"from":"2029-12-31T12:00:00Z","to":null}}');
