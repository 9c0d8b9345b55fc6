INSERT INTO admins (name, password_hash, created_at, password_changed_at, role, password_origin) VALUES
    ('ops', '$argon2id$v=19$m=19456,t=2,p=1$YVBj46qW0gm5gHFpZCKTsQ$8Sg+mGHrps3q0YWE/stik+ymnus80AHn8i/MZ956hVw', 1893369660000000, NULL, 'auditor', 'legacy-login');
INSERT INTO removed_admins (name) VALUES ('leaver');
