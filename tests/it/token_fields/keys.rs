//! The names of a token's fields in each representation.

use tokenbridge::domain::{
    actor::Actor,
    clock::Timestamp,
    token::{Attribution, Token},
};

/// The keys under which the representations show a field.
#[derive(Clone, Copy, Default)]
pub struct Keys {
    /// `/api-tokens` and `token show`.
    pub api: &'static [&'static str],
    pub export: &'static [&'static str],
    pub legacy: &'static [&'static str],
    /// The form in the console.
    pub form: &'static [&'static str],
    /// The details of the audit event of a change.
    pub audit: &'static [&'static str],
}

impl Keys {
    const NONE: Self = Self::of(&[]);

    /// Returns the keys of a field that only `/api-tokens` and exports show.
    const fn of(keys: &'static [&'static str]) -> Self {
        Self {
            api: keys,
            export: keys,
            legacy: &[],
            form: &[],
            audit: &[],
        }
    }
}

/// Compares two tokens field by field: the name of each field, `true` if it differs, and its keys. A new field does not
/// compile until it is added here.
pub fn compare(before: &Token, after: &Token) -> Vec<(&'static str, bool, Keys)> {
    let Token {
        id,
        name,
        permissions,
        allowed_cidr_blocks,
        has_value,
        created: Attribution { at, by },
        updated,
        rotated_at,
        last_used_at,
        expires_at,
        description,
        owner,
        disabled_at,
        version,
    } = before;
    let id_keys = Keys {
        legacy: &["uuid"],
        ..Keys::of(&["id"])
    };
    let name_keys = Keys {
        legacy: &["name"],
        form: &["name"],
        audit: &["name"],
        ..Keys::of(&["name"])
    };
    let permission_keys = Keys {
        legacy: &["read", "change"],
        form: &["permission", "preset"],
        audit: &["permissions"],
        ..Keys::of(&["permissions"])
    };
    let block_keys = Keys {
        form: &["blocks"],
        audit: &["allowedCIDRBlocks"],
        ..Keys::of(&["allowedCIDRBlocks"])
    };
    let value_keys = Keys {
        export: &["valueHash"],
        ..Keys::NONE
    };
    let expiry_keys = Keys {
        form: &["expires", "expiry"],
        audit: &["expiresAt"],
        ..Keys::of(&["expiresAt"])
    };
    let description_keys = Keys {
        form: &["description"],
        audit: &["description"],
        ..Keys::of(&["description"])
    };
    let owner_keys = Keys {
        form: &["owner"],
        audit: &["owner"],
        ..Keys::of(&["owner"])
    };
    let disabled_keys = Keys {
        audit: &["disabledAt"],
        ..Keys::of(&["disabledAt"])
    };
    let version_keys = Keys {
        form: &["version"],
        ..Keys::NONE
    };
    vec![
        ("id", *id != after.id, id_keys),
        ("name", *name != after.name, name_keys),
        ("permissions", *permissions != after.permissions, permission_keys),
        ("blocks", *allowed_cidr_blocks != after.allowed_cidr_blocks, block_keys),
        ("has_value", *has_value != after.has_value, value_keys),
        ("created.at", *at != after.created.at, Keys::of(&["createdAt"])),
        ("created.by", *by != after.created.by, Keys::of(&["createdBy"])),
        (
            "updated.at",
            updated_at(updated.as_ref()) != updated_at(after.updated.as_ref()),
            Keys::of(&["updatedAt"]),
        ),
        (
            "updated.by",
            updated_by(updated.as_ref()) != updated_by(after.updated.as_ref()),
            Keys::of(&["updatedBy"]),
        ),
        ("rotated_at", *rotated_at != after.rotated_at, Keys::of(&["rotatedAt"])),
        (
            "last_used_at",
            *last_used_at != after.last_used_at,
            Keys::of(&["lastUsedAt"]),
        ),
        ("expires_at", *expires_at != after.expires_at, expiry_keys),
        ("description", *description != after.description, description_keys),
        ("owner", *owner != after.owner, owner_keys),
        ("disabled_at", *disabled_at != after.disabled_at, disabled_keys),
        ("version", *version != after.version, version_keys),
    ]
}

/// Returns the time of the last change.
fn updated_at(updated: Option<&Attribution>) -> Option<Timestamp> {
    updated.map(|Attribution { at, by: _ }| *at)
}

/// Returns the author of the last change.
fn updated_by(updated: Option<&Attribution>) -> Option<&Actor> {
    updated.map(|Attribution { at: _, by }| by)
}
