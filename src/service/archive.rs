//! The export format: one JSON object per line. The first line names the format, and the last one
//! contains the number of records, so that an import detects a truncated file.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::passwords::can_be_verified;
use crate::domain::{
    Invalid,
    actor::{Actor, ActorKind},
    admin::{Admin, PasswordHash, PasswordOrigin, Role},
    cidr::CidrBlocks,
    clock::Timestamp,
    invalid::{Malformed, parse_field},
    permission::PermissionSet,
    record::{AdminRecord, GraceValue, TokenRecord},
    token::{Attribution, Token, TokenVersion},
    value::ValueHash,
};

/// The name of the format, in the first line.
pub const FORMAT: &str = "tokenbridge-export";
/// Maximum length of an actor's ID, in characters: that of an admin's name.
const MAX_ACTOR_CHARS: usize = 255;
/// The version of the format, in the first line. An older program refuses a newer export with a clear message, where it
/// would lose fields or reject single lines.
pub const VERSION: u32 = 1;

/// A line of an export.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ArchiveLine {
    /// The first line.
    Format {
        /// [`FORMAT`].
        name: String,
        /// [`VERSION`].
        version: u32,
    },
    /// A token.
    Token(Box<TokenLine>),
    /// An admin.
    Admin(AdminLine),
    /// The last line.
    End {
        /// Number of exported tokens.
        tokens: u64,
        /// Number of exported admins.
        admins: u64,
    },
}

/// A token with the hashes of its values in hexadecimal, never with the values themselves.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenLine {
    id: String,
    name: String,
    permissions: Vec<String>,
    #[serde(rename = "allowedCIDRBlocks")]
    allowed_cidr_blocks: Vec<String>,
    value_hash: Option<String>,
    grace_values: Vec<GraceLine>,
    created_at: String,
    created_by: ActorLine,
    updated_at: Option<String>,
    updated_by: Option<ActorLine>,
    rotated_at: Option<String>,
    last_used_at: Option<String>,
    expires_at: Option<String>,
    // Exports of earlier versions lack these. Without a value they are left out, so that an earlier version can import
    // the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_at: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GraceLine {
    value_hash: String,
    valid_until: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActorLine {
    id: String,
    #[serde(rename = "type")]
    kind: String,
}

/// An admin with the password hash.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdminLine {
    name: String,
    password_hash: String,
    created_at: String,
    password_changed_at: Option<String>,
    /// Absent in exports of earlier versions, as is `role`.
    password_origin: Option<String>,
    role: Option<String>,
}

impl TokenLine {
    /// Returns the token's ID as written in the line, not validated.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl AdminLine {
    /// Returns the admin's name as written in the line, not validated.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl From<&TokenRecord> for TokenLine {
    fn from(
        TokenRecord {
            token,
            value,
            grace_values,
        }: &TokenRecord,
    ) -> Self {
        // Exhaustive, so that a new field does not compile until it is exported, or left out on
        // purpose.
        let Token {
            id,
            name,
            permissions,
            allowed_cidr_blocks,
            has_value: _, // The hash implies it.
            created,
            updated,
            rotated_at,
            last_used_at,
            expires_at,
            description,
            owner,
            disabled_at,
            version: _, // Counts the changes in this store.
        } = token;
        let time = |time: Timestamp| time.to_string();
        let actor = |actor: &Actor| ActorLine {
            id: actor.id.clone(),
            kind: actor.kind.name().to_owned(),
        };
        let updated = updated.as_ref();
        Self {
            id: id.to_string(),
            name: name.as_str().to_owned(),
            permissions: permissions.iter().map(|held| held.name().to_owned()).collect(),
            allowed_cidr_blocks: allowed_cidr_blocks.iter().map(ToString::to_string).collect(),
            value_hash: value.as_ref().map(to_hex),
            grace_values: grace_values
                .iter()
                .map(|grace| GraceLine {
                    value_hash: to_hex(&grace.value),
                    valid_until: time(grace.valid_until),
                })
                .collect(),
            created_at: time(created.at),
            created_by: actor(&created.by),
            updated_at: updated.map(|change| time(change.at)),
            updated_by: updated.map(|change| actor(&change.by)),
            rotated_at: rotated_at.map(time),
            last_used_at: last_used_at.map(time),
            expires_at: expires_at.time().map(time),
            description: description.as_ref().map(|text| text.as_str().to_owned()),
            owner: owner.as_ref().map(|text| text.as_str().to_owned()),
            disabled_at: disabled_at.map(time),
        }
    }
}

impl TryFrom<TokenLine> for TokenRecord {
    type Error = Invalid;

    fn try_from(line: TokenLine) -> Result<Self, Invalid> {
        let time = |field, text: &Option<String>| text.as_deref().map(|text| parse_field(field, text)).transpose();
        let value = line.value_hash.as_deref().map(hash).transpose()?;
        let updated = match (time("updatedAt", &line.updated_at)?, line.updated_by) {
            (Some(at), Some(by)) => Some(Attribution { at, by: actor(by)? }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(Invalid::new("updatedBy", "must be set if and only if updatedAt is"));
            }
        };
        let grace_values = line.grace_values.iter().map(|grace| {
            Ok(GraceValue {
                value: hash(&grace.value_hash)?,
                valid_until: parse_field("validUntil", &grace.valid_until)?,
            })
        });
        Ok(Self {
            grace_values: grace_values.collect::<Result<_, Invalid>>()?,
            value,
            token: Token {
                id: line
                    .id
                    .parse()
                    .map_err(|malformed: Malformed| Invalid::new("id", malformed.to_string()))?,
                name: line.name.parse()?,
                permissions: PermissionSet::parse(&line.permissions)?,
                allowed_cidr_blocks: CidrBlocks::parse(&line.allowed_cidr_blocks)?,
                has_value: value.is_some(),
                created: Attribution {
                    at: parse_field("createdAt", &line.created_at)?,
                    by: actor(line.created_by)?,
                },
                updated,
                rotated_at: time("rotatedAt", &line.rotated_at)?,
                last_used_at: time("lastUsedAt", &line.last_used_at)?,
                expires_at: time("expiresAt", &line.expires_at)?.into(),
                description: line.description.as_deref().map(str::parse).transpose()?,
                owner: line.owner.as_deref().map(str::parse).transpose()?,
                disabled_at: time("disabledAt", &line.disabled_at)?,
                version: TokenVersion::FIRST,
            },
        })
    }
}

impl From<&AdminRecord> for AdminLine {
    fn from(
        AdminRecord {
            admin:
                Admin {
                    name,
                    password_hash,
                    password_origin,
                    role,
                },
            created_at,
            password_changed_at,
        }: &AdminRecord,
    ) -> Self {
        Self {
            name: name.as_str().to_owned(),
            password_hash: password_hash.as_phc().to_owned(),
            created_at: created_at.to_string(),
            password_changed_at: password_changed_at.map(|time| time.to_string()),
            password_origin: Some(password_origin.name().to_owned()),
            role: Some(role.name().to_owned()),
        }
    }
}

impl TryFrom<AdminLine> for AdminRecord {
    type Error = Invalid;

    fn try_from(line: AdminLine) -> Result<Self, Invalid> {
        let password_hash = PasswordHash::from_phc(line.password_hash);
        if !can_be_verified(&password_hash) {
            return Err(Invalid::new(
                "passwordHash",
                "must be the argon2id hash of a password, with at most 256 MiB of memory and 16 passes",
            ));
        }
        let changed = line.password_changed_at;
        let password_origin = line.password_origin.map(|name| name.parse::<PasswordOrigin>());
        let role = line.role.map(|name| name.parse::<Role>());
        Ok(Self {
            admin: Admin {
                name: line.name.parse()?,
                password_hash,
                password_origin: password_origin.transpose()?.unwrap_or_default(),
                role: role.transpose()?.unwrap_or_default(),
            },
            created_at: parse_field("createdAt", &line.created_at)?,
            password_changed_at: changed
                .map(|text| parse_field("passwordChangedAt", &text))
                .transpose()?,
        })
    }
}

fn actor(line: ActorLine) -> Result<Actor, Invalid> {
    if line.id.is_empty() || line.id.chars().count() > MAX_ACTOR_CHARS || line.id.chars().any(char::is_control) {
        return Err(Invalid::new(
            "id",
            "must have 1 to 255 characters and no control characters",
        ));
    }
    let kind = ActorKind::from_name(&line.kind)
        .ok_or_else(|| Invalid::new("type", format!("unknown actor type {:?}", line.kind)))?;
    Ok(Actor { id: line.id, kind })
}

fn to_hex(value: &ValueHash) -> String {
    value.as_bytes().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn hash(text: &str) -> Result<ValueHash, Invalid> {
    let all_digits = text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let digits: Option<Vec<u8>> = (0..if all_digits { text.len() } else { 0 })
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect();
    digits
        .and_then(|bytes| ValueHash::from_bytes(&bytes))
        .ok_or_else(|| Invalid::new("valueHash", "must be 64 hexadecimal digits"))
}
