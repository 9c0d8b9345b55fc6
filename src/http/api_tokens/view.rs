//! How `/api-tokens` shows a token.

use serde::Serialize;

use crate::domain::{
    actor::Actor,
    cidr::CidrBlocks,
    clock::Timestamp,
    page::Page,
    permission::PermissionSet,
    token::{Token, TokenId},
    value::TokenValue,
};

/// The fields of [`ApiToken`] that nobody can set.
pub const READ_ONLY_FIELDS: &[&str] = &[
    "id",
    "createdAt",
    "createdBy",
    "updatedAt",
    "updatedBy",
    "rotatedAt",
    "lastUsedAt",
    "value",
];

/// A token: Panther's `APIToken`. `createdBy` and `updatedBy` hold a type of the published list and the actor's own id or name.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiToken<'a> {
    #[serde(serialize_with = "id_text")]
    id: TokenId,
    name: &'a str,
    permissions: PermissionSet,
    #[serde(rename = "allowedCIDRBlocks")]
    allowed_cidr_blocks: &'a CidrBlocks,
    created_at: Timestamp,
    created_by: &'a Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_by: Option<&'a Actor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
}

impl<'a> From<&'a Token> for ApiToken<'a> {
    fn from(token: &'a Token) -> Self {
        let updated = token.updated.as_ref();
        Self {
            id: token.id,
            name: token.name.as_str(),
            permissions: token.permissions,
            allowed_cidr_blocks: &token.allowed_cidr_blocks,
            created_at: token.created.at,
            created_by: &token.created.by,
            updated_at: updated.map(|change| change.at),
            updated_by: updated.map(|change| &change.by),
            rotated_at: token.rotated_at,
            last_used_at: token.last_used_at,
            expires_at: token.expires_at,
            value: None,
        }
    }
}

impl<'a> ApiToken<'a> {
    /// The token with the value that it has just got.
    pub fn with_value(token: &'a Token, value: &'a TokenValue) -> Self {
        Self {
            value: Some(value.expose()),
            ..Self::from(token)
        }
    }
}

/// A page of tokens: Panther's `ListResp`.
#[derive(Serialize)]
pub struct ListResp<'a> {
    results: Vec<ApiToken<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl<'a> From<&'a Page> for ListResp<'a> {
    fn from(page: &'a Page) -> Self {
        Self {
            results: page.tokens.iter().map(ApiToken::from).collect(),
            next: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

fn id_text<S: serde::Serializer>(id: &TokenId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}
