INSERT INTO audit_events (at, actor_type, actor_id, channel, client, action, token_id, details, token_name) VALUES
    (1893369690000000, 'user', 'admin', 'console', '127.0.0.1', 'token.deleted', '60c49959-137f-438d-b1bd-785cb7b545b5', '{"name":"deleted"}', 'deleted');
INSERT INTO sessions (key_hash, admin, begun_at, seen_at, client, user_agent) VALUES
    (X'1a98de1263954a0e0ccc3d5c7be242f3bbd92aa3914c38c56491466acba36bbd', 'admin', 1893369691000000, 1893369692000000, '127.0.0.1', 'Mozilla/5.0');
