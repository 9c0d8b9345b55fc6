INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, value_hash, created_at, created_by_type, created_by_id, version, description, owner, disabled_at) VALUES
    ('0b9e45bf-8d3a-4572-8ff3-e791706a8839', 'disabled', 'OrganizationAPITokenModify OrganizationAPITokenRead', '', X'85cb47b6f6ecd1233df514d0eae13e6591e471c187bcf14e5695fdd7dd3093a4', 1893369650000000, 'user', 'admin', 2, 'deploys
nightly', 'team-x', 1893369651000000);
