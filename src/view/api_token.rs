//! The JSON representation of tokens in `/api-tokens`.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{
        actor::Actor,
        annotation::{Description, Owner},
        cidr::CidrBlocks,
        clock::Timestamp,
        page::Page,
        permission::PermissionSet,
        token::{Token, TokenId},
        value::TokenValue,
    },
    view::schemas::{self, ActorSchema, PermissionName, cidr_blocks},
};

/// The fields of [`ApiToken`] that cannot be set.
pub const READ_ONLY_FIELDS: &[&str] = &[
    "id",
    "createdAt",
    "createdBy",
    "updatedAt",
    "updatedBy",
    "rotatedAt",
    "lastUsedAt",
    "disabledAt",
    "value",
];

/// A token: Panther's `APIToken`. `createdBy` and `updatedBy` have a published actor type and the actor's ID or name.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(
    as = APITokenAPI::APIToken,
    example = json!({
        "id": "7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0", "name": "deployer",
        "permissions": ["OrganizationAPITokenModify", "OrganizationAPITokenRead"], "allowedCIDRBlocks": ["10.0.0.0/8"],
        "createdAt": "2026-11-21T12:00:00.000001Z", "createdBy": { "id": "admin", "type": "user" }, "expiresAt": null,
    })
)]
pub struct ApiToken<'a> {
    /// The ID of the token; the legacy `uuid`
    #[schema(value_type = String, format = "uuid")]
    id: TokenId,
    /// The name of the token
    name: &'a str,
    /// The permissions of the token, sorted
    #[schema(value_type = Vec<PermissionName>)]
    permissions: PermissionSet,
    /// The CIDR blocks that the token may be used from. If empty, it may be used from any address
    #[serde(rename = "allowedCIDRBlocks")]
    #[schema(schema_with = cidr_blocks)]
    allowed_cidr_blocks: &'a CidrBlocks,
    /// When the token was created
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Who created the token
    #[schema(value_type = ActorSchema)]
    created_by: &'a Actor,
    /// When the token was last changed, other than by a rotation
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: Option<Timestamp>,
    /// Who made that change
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ActorSchema)]
    updated_by: Option<&'a Actor>,
    /// When the token was last rotated
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    rotated_at: Option<Timestamp>,
    /// When the token was last used
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    last_used_at: Option<Timestamp>,
    /// When the token expires; null for never
    #[schema(required, value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// The description: what the token is for. Absent if there is none
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, schema_with = schemas::description)]
    description: Option<&'a str>,
    /// The person or team to ask about the token; absent if that is not known
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, schema_with = schemas::owner)]
    owner: Option<&'a str>,
    /// Since when every use is refused; absent while the token is enabled
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    disabled_at: Option<Timestamp>,
    /// The value of the token, only in the responses to create and rotate
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, pattern = "^tbk_[A-Za-z0-9_-]{49}$")]
    value: Option<&'a str>,
}

impl<'a> From<&'a Token> for ApiToken<'a> {
    fn from(token: &'a Token) -> Self {
        let Token {
            id,
            name,
            permissions,
            allowed_cidr_blocks,
            has_value: _,
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
        let updated = updated.as_ref();
        Self {
            id: *id,
            name: name.as_str(),
            permissions: *permissions,
            allowed_cidr_blocks,
            created_at: created.at,
            created_by: &created.by,
            updated_at: updated.map(|change| change.at),
            updated_by: updated.map(|change| &change.by),
            rotated_at: *rotated_at,
            last_used_at: *last_used_at,
            expires_at: expires_at.time(),
            description: description.as_ref().map(Description::as_str),
            owner: owner.as_ref().map(Owner::as_str),
            disabled_at: *disabled_at,
            value: None,
        }
    }
}

impl<'a> ApiToken<'a> {
    /// Creates the representation with a new value.
    pub fn with_value(token: &'a Token, value: &'a TokenValue) -> Self {
        Self {
            value: Some(value.expose()),
            ..Self::from(token)
        }
    }
}

/// A page of tokens: Panther's `ListResp`.
#[derive(Serialize, ToSchema)]
#[schema(as = APITokenAPI::ListResp)]
pub struct ListResp<'a> {
    /// The tokens, oldest first
    results: Vec<ApiToken<'a>>,
    /// The `cursor` of the next page; absent on the last page
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
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
