//! Decodes columns into domain types.
//!
//! These are not diesel's `FromSql` and `ToSql`. The multi-backend takes bound values by reference,
//! so a type whose stored form is computed cannot implement `ToSql`. A row that `FromSql` rejects
//! fails its whole query, but a lookup of many values must fail only for the callers that asked
//! about that row, and a transfer copies rows as they are.

use std::net::IpAddr;

use super::error::StoreError;
use crate::domain::{
    actor::{Actor, ActorKind, Channel},
    admin::{PasswordOrigin, Role},
    audit::Action,
    cidr::CidrBlocks,
    clock::Timestamp,
    idempotency::PayloadHash,
    legacy_usage::CallerAddress,
    permission::PermissionSet,
    token::{TokenId, TokenVersion},
    usage::UseOutcome,
    value::ValueHash,
};

/// A type that a column of type `C` holds.
pub(super) trait FromColumn<C>: Sized {
    /// The name of the type in errors.
    const NAME: &'static str;

    /// Returns `None` if this program never wrote `column`.
    fn from_column(column: C) -> Option<Self>;
}

/// Decodes a column.
///
/// # Errors
/// [`StoreError::Corrupt`] if this program never wrote it.
pub(super) fn decode<C, T: FromColumn<C>>(column: C) -> Result<T, StoreError> {
    T::from_column(column).ok_or(StoreError::Corrupt(T::NAME))
}

macro_rules! columns {
    ($($name:ident($column:ident: $stored:ty) $shown:literal => $decoded:expr;)*) => {$(
        impl FromColumn<$stored> for $name {
            const NAME: &'static str = $shown;

            fn from_column($column: $stored) -> Option<Self> {
                $decoded
            }
        }
    )*};
}

columns! {
    Timestamp(micros: i64) "time" => Self::from_micros(micros);
    TokenVersion(number: i64) "token version" => Self::from_number(number);
    TokenId(text: &str) "token id" => text.parse().ok();
    PermissionSet(names: &str) "permission set" => Self::parse(names.split_ascii_whitespace()).ok();
    CidrBlocks(blocks: &str) "list of CIDR blocks" => Self::parse(blocks.split_ascii_whitespace()).ok();
    PayloadHash(bytes: &[u8]) "payload hash" => Self::from_bytes(bytes);
    ValueHash(bytes: &[u8]) "value" => Self::from_bytes(bytes);
    UseOutcome(name: &str) "outcome of a use" => Self::from_name(name);
    ActorKind(name: &str) "actor" => Self::from_name(name);
    Channel(name: &str) "channel" => Self::from_name(name);
    Action(name: &str) "action" => name.parse().ok();
    Role(name: &str) "role" => Self::from_name(name);
    PasswordOrigin(name: &str) "password origin" => Self::from_name(name);
    IpAddr(text: &str) "client address" => text.parse().ok();
    CallerAddress(text: &str) "client address" => text.parse().ok();
}

/// Decodes the two columns of an actor.
///
/// # Errors
/// [`StoreError::Corrupt`] if this program never wrote the type.
pub(super) fn decode_actor(kind: &str, id: String) -> Result<Actor, StoreError> {
    Ok(Actor {
        id,
        kind: decode(kind)?,
    })
}
