INSERT INTO sessions (key_hash, admin, begun_at, seen_at) VALUES
    (X'627ff6f9390965e64cc6cfe6ad67d7c90e7ba10541ef6d45ed2eab12e238057f', 'admin', 1893369610000000, 1893369620000000);
