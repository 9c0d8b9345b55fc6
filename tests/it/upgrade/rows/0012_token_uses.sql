INSERT INTO token_uses (token_seq, day, outcome, uses, last_at, last_channel, last_client) VALUES
    (3, 21914, 'accepted', 12, 1893369605000006, 'verify', '10.0.0.7'),
    (6, 21914, 'disabled', 2, 1893369680000000, 'api-tokens', NULL);
