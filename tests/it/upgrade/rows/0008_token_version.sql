INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, value_hash, created_at, created_by_type, created_by_id, version) VALUES
    ('6dc8b9c9-dabe-4beb-95bc-dec4d9c6535c', 'with a version', 'OrganizationAPITokenRead', '', X'df1dc21024573fd315cea8b36cb83e1e6e55ec41fc73de014c5222c953b38e1e', 1893369640000000, 'user', 'admin', 3);
