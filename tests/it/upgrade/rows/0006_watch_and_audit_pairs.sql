-- All hours of a day, and the first and the last one.
INSERT INTO legacy_watch (day, hours) VALUES (21913, 16777215), (21914, 8388609);
