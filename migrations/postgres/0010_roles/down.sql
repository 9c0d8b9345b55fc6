DROP TABLE removed_admins;
ALTER TABLE admins DROP COLUMN password_origin;
ALTER TABLE admins DROP COLUMN role;
