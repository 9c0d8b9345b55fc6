DROP TABLE audit_events;
DROP TABLE admins;
DROP TABLE grace_values;
DROP TABLE tokens;
