//! The CSV representation of tokens (RFC 4180), for spreadsheets.

use crate::{
    domain::{
        annotation::{Description, Owner},
        clock::Timestamp,
        token::{Attribution, Token},
    },
    view::csv,
};

const COLUMNS: [&str; 16] = [
    "id",
    "name",
    "permissions",
    "allowedCIDRBlocks",
    "createdAt",
    "createdByType",
    "createdById",
    "updatedAt",
    "updatedByType",
    "updatedById",
    "rotatedAt",
    "lastUsedAt",
    "expiresAt",
    "description",
    "owner",
    "disabledAt",
];

/// Returns the header line.
pub fn header() -> String {
    csv::format_row(COLUMNS)
}

/// Returns the line of a token. Lists are separated by spaces; fields without a value are empty.
pub fn row(token: &Token) -> String {
    // Exhaustive, so that a new field does not compile until it is shown, or left out on purpose.
    let Token {
        id,
        name,
        permissions,
        allowed_cidr_blocks,
        has_value: _, // Not shown by /api-tokens, either.
        created,
        updated,
        rotated_at,
        last_used_at,
        expires_at,
        description,
        owner,
        disabled_at,
        version: _,
    } = token;
    let [created_at, created_by_type, created_by_id] = attribution(Some(created));
    let [updated_at, updated_by_type, updated_by_id] = attribution(updated.as_ref());
    let cells: [&str; COLUMNS.len()] = [
        &id.to_string(),
        name.as_str(),
        &permissions.to_string(),
        &allowed_cidr_blocks.to_string(),
        &created_at,
        &created_by_type,
        &created_by_id,
        &updated_at,
        &updated_by_type,
        &updated_by_id,
        &time(*rotated_at),
        &time(*last_used_at),
        &time(expires_at.time()),
        description.as_ref().map_or("", Description::as_str),
        owner.as_ref().map_or("", Owner::as_str),
        &time(*disabled_at),
    ];
    csv::format_row(cells)
}

fn attribution(change: Option<&Attribution>) -> [String; 3] {
    change.map_or_else(Default::default, |Attribution { at, by }| {
        [at.to_string(), by.kind.name().to_owned(), by.id.clone()]
    })
}

fn time(time: Option<Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}
