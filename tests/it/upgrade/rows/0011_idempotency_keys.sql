INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, value_hash, created_at, created_by_type, created_by_id, version, value_unclaimed) VALUES
    ('f9f0cedc-d968-4eec-aa44-ed33cb3e1e66', 'created by key', 'OrganizationAPITokenRead', '', X'c8c3ff058a8b4dd26547091835b0697fa2018f57fad32fd3512e73b97a967a05', 1893369670000000, 'user', 'admin', 1, TRUE);
INSERT INTO idempotency_keys (key_hash, payload_hash, token_id, value_hash, created_at) VALUES
    (X'1719b4cc61beb22eff004c1f4c55bff148e6dced340077fb8e971dcb7f8d82a2', X'5793d6935b7b3e3970331d6127e835c4c560cd5444459d8e73503ffb3f76a618', 'f9f0cedc-d968-4eec-aa44-ed33cb3e1e66', X'c8c3ff058a8b4dd26547091835b0697fa2018f57fad32fd3512e73b97a967a05', 1893369670000000);
