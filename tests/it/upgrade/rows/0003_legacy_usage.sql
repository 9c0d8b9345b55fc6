-- An admin, an unknown caller, and all callers beyond the limit.
INSERT INTO legacy_callers (prefix, method, actor_type, actor_id, client, user_agent, first_seen, last_seen, total) VALUES
    ('/rest/agent-config/1.0', 'PUT', 'user', 'admin', '127.0.0.1', 'curl/8.5.0', 1893369601000002, 1893369610000000, 7),
    ('/rest/agent/1.0', 'GET', '', '', '2001:db8::1', '', 1893369602000000, 1893369602000000, 1),
    ('/rest/agent-config/1.0', 'GET', '', '', '', '', 1893369603000000, 1893369603000000, 40);
INSERT INTO legacy_calls (caller_seq, day, calls) VALUES (1, 21914, 5), (2, 21914, 1), (3, 21914, 40);
