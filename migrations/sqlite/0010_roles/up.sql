-- The role of an admin, and the origin of the password: set here, or taken over from the legacy
-- server. Existing admins may do everything, with passwords that were set here.
ALTER TABLE admins ADD COLUMN role TEXT NOT NULL DEFAULT 'admin';
ALTER TABLE admins ADD COLUMN password_origin TEXT NOT NULL DEFAULT 'local';

-- The names of removed admins, without case, accents, width, and repeated blanks. They are not
-- taken over from the legacy server again.
CREATE TABLE removed_admins (
    name TEXT NOT NULL PRIMARY KEY
);
