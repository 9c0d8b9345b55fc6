-- A token of the legacy API without a value; one with CIDR blocks, an expiry, a value, and an earlier value in its grace
-- period; one that created another; and an expired one.
INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, value_hash, created_at, created_by_type, created_by_id, updated_at, updated_by_type, updated_by_id, rotated_at, last_used_at, expires_at) VALUES
    ('460e0288-3987-4a3f-b2e2-8d94716126e4', 'legacy agent', 'OrganizationAPITokenModify OrganizationAPITokenRead', '', NULL, 1893369600000001, 'user', 'admin', 1893369601000002, 'user', 'admin', NULL, NULL, NULL),
    ('9bc5a6a6-8868-46f6-b49d-5c21cc31388a', 'deplöy "1"', 'AlertRead OrganizationAPITokenRead', '127.0.0.0/8 2001:db8::/32', X'6e4544faa9b22cb880086b6ec60de0ff70e964c8707d07cb5ee86175edbec56f', 1893369602000003, 'user', 'admin', NULL, NULL, NULL, 1893369603000004, NULL, 2208988800000000),
    ('5be7aa41-4596-497a-b3b3-a6d47b93cd4d', 'by a token', 'OrganizationAPITokenModify OrganizationAPITokenRead', '', X'b5330ef97dcb46a751ee22c96c93e272f3579f95a8418e620266ab270f254dd4', 1893369604000005, 'user', 'admin', NULL, NULL, NULL, NULL, 1893369605000006, NULL),
    ('2879b365-18bb-4942-9b27-6475a4c21ca2', 'child', '', '10.0.0.0/8', X'bc41527459444308b37119f1709cceb788c381683483e0fd6de36ec09251b5c6', 1893369606000007, 'api-token', '5be7aa41-4596-497a-b3b3-a6d47b93cd4d', NULL, NULL, NULL, NULL, NULL, 1893369700000000);
INSERT INTO grace_values (value_hash, token_seq, valid_until) VALUES
    (X'95c64a6fd0bb5171b3e87a6a0bcac794d5ba63461485fb9341ce8a1d9ef86404', 2, 1893888003000004);
INSERT INTO admins (name, password_hash, created_at, password_changed_at) VALUES
    ('admin', '$argon2id$v=19$m=19456,t=2,p=1$L/xqMxaGwZFj9OkIrZmBCw$WeEvC+yjEvCuAqJhbG9XkG/5rjGeJcBldLYx6HOava0', 1893369600000000, 1893369600500000);
-- The name of the token: in the details; the new one of a renaming; that of the preceding event; the current one, because
-- earlier events were removed; unknown, because the token was deleted too.
INSERT INTO audit_events (at, actor_type, actor_id, door, client, action, token_id, details) VALUES
    (1893369600000000, 'system', 'cli', 'cli', NULL, 'admin.added', NULL, '{"admin":"admin"}'),
    (1893369600000001, 'user', 'admin', 'legacy-1.0', '127.0.0.1', 'token.created', '460e0288-3987-4a3f-b2e2-8d94716126e4', '{"allowedCIDRBlocks":[],"expiresAt":null,"name":"agent","permissions":["OrganizationAPITokenRead"]}'),
    (1893369600500000, 'user', 'admin', 'legacy-pre-1.5', '::1', 'token.updated', '460e0288-3987-4a3f-b2e2-8d94716126e4', '{"name":{"from":"agent","to":"legacy agent"}}'),
    (1893369601000002, 'user', 'admin', 'legacy-1.0', '127.0.0.1', 'token.updated', '460e0288-3987-4a3f-b2e2-8d94716126e4', '{"permissions":{"from":["OrganizationAPITokenRead"],"to":["OrganizationAPITokenModify","OrganizationAPITokenRead"]}}'),
    (1893369603000004, 'user', 'admin', 'api-tokens', '127.0.0.1', 'token.rotated', '9bc5a6a6-8868-46f6-b49d-5c21cc31388a', '{"gracePeriodSeconds":518400}'),
    (1893369606000007, 'api-token', '5be7aa41-4596-497a-b3b3-a6d47b93cd4d', 'api-tokens', '127.0.0.1', 'token.created', '2879b365-18bb-4942-9b27-6475a4c21ca2', '{"allowedCIDRBlocks":["10.0.0.0/8"],"expiresAt":"2029-12-31T00:01:40Z","name":"child","permissions":[]}'),
    (1893369607000008, 'user', 'admin', 'cli', NULL, 'token.rotated', '71e22f0a-7cbc-4fc5-9406-158febe8c160', '{"gracePeriodSeconds":0}'),
    (1893369608000009, NULL, NULL, 'api-tokens', '10.0.0.7', 'login.refused', NULL, '{"admin":null,"count":3,"reason":"the API key is not valid"}');
