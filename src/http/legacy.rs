//! The token endpoints of "Agent Apis for Bamboo", with exactly the four fields that its clients
//! know.

pub mod list;
mod middleware;

use std::io::Write as _;

use actix_web::{HttpResponse, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    State,
    error::ApiError,
    extract::{
        AdminOnly, Authenticated,
        json::{Json, JsonBody, UnknownFields},
        path::{Uuid, UuidParameter},
    },
};
use crate::{
    domain::{
        Invalid,
        name::TokenName,
        permission::{Permission, PermissionSet},
        precondition::Precondition,
        token::{Token, TokenId, TokenSummary},
    },
    service::{
        Error,
        tokens::{NewToken, PermissionChange, TokenChanges, TokenRef},
    },
    view::schemas::{self, LegacyTokenCreation},
};
pub use middleware::{enforce_phase, finish_response};

/// A token of the legacy API. Scripts split its text at commas and colons: the order is fixed.
#[derive(ToSchema)]
#[schema(example = json!({
    "uuid": "2c4ee2ad-7c2c-4f02-8d0c-7ac2da6b0bb5", "name": "informational name", "read": true, "change": false,
}))]
pub struct LegacyToken<'a> {
    /// The ID of the token; the id in /api-tokens
    #[schema(value_type = String, format = "uuid")]
    uuid: TokenId,
    /// The name of the token
    name: &'a str,
    /// Whether the token has the permission `OrganizationAPITokenRead`
    read: bool,
    /// Whether the token has the permission `OrganizationAPITokenModify`
    change: bool,
}

impl<'a> LegacyToken<'a> {
    fn new(uuid: TokenId, name: &'a TokenName, permissions: PermissionSet) -> Self {
        Self {
            uuid,
            name: name.as_str(),
            read: permissions.contains(Permission::OrganizationAPITokenRead),
            change: permissions.contains(Permission::OrganizationAPITokenModify),
        }
    }

    /// Appends the token as JSON.
    ///
    /// Not derived: a serializer also escapes the names of the fields and the UUID, which takes a fifth of the time of a
    /// long list.
    fn write_json(&self, text: &mut Vec<u8>) -> std::io::Result<()> {
        let Self {
            uuid,
            name,
            read,
            change,
        } = self;
        let flags = match (read, change) {
            (false, false) => r#","read":false,"change":false}"#,
            (false, true) => r#","read":false,"change":true}"#,
            (true, false) => r#","read":true,"change":false}"#,
            (true, true) => r#","read":true,"change":true}"#,
        };
        text.extend_from_slice(br#"{"uuid":""#);
        write!(text, "{uuid}")?;
        text.extend_from_slice(br#"","name":"#);
        serde_json::to_writer(&mut *text, name)?;
        text.extend_from_slice(flags.as_bytes());
        Ok(())
    }

    fn respond(&self) -> Result<HttpResponse, ApiError> {
        let mut text = Vec::new();
        self.write_json(&mut text)
            .map_err(|error| Error::Internal(error.into()))?;
        Ok(HttpResponse::Ok().content_type("application/json").body(text))
    }
}

impl<'a> From<&'a Token> for LegacyToken<'a> {
    fn from(token: &'a Token) -> Self {
        Self::new(token.id, &token.name, token.permissions)
    }
}

impl<'a> From<&'a TokenSummary> for LegacyToken<'a> {
    fn from(token: &'a TokenSummary) -> Self {
        Self::new(token.id, &token.name, token.permissions)
    }
}

/// The body of create and update. Other fields are ignored, as is the `uuid` in a create.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "name": "informational name", "read": true, "change": false }))]
pub struct LegacyFields {
    /// Ignored in a create; in an update it must match the path
    #[schema(ignore)]
    uuid: Option<serde_json::Value>,
    /// The name of the token
    #[schema(required = false, schema_with = schemas::name_or_null)]
    name: Option<String>,
    /// Whether the token may read tokens; unchanged if absent
    read: Option<bool>,
    /// Whether the token may modify tokens; unchanged if absent
    change: Option<bool>,
}

impl JsonBody for LegacyFields {
    const UNKNOWN_FIELDS: UnknownFields = UnknownFields::Ignored;
}

type AuthenticatedCall<I = ()> = Authenticated<AdminOnly, I>;

/// `POST …/tokens`: creates a token without a value.
#[utoipa::path(
    post, path = "/tokens", operation_id = "createLegacyToken", summary = "Create a token",
    description = "Creates a token without a value. `read` and `change` default to false.",
    request_body = LegacyTokenCreation,
    responses((status = 200, description = "The token, without a value", body = LegacyToken)),
    security(("BasicAuth" = [])),
)]
pub async fn create(
    state: Data<State>,
    Authenticated {
        call,
        input: Json(body),
        ..
    }: AuthenticatedCall<Json<LegacyFields>>,
) -> Result<HttpResponse, ApiError> {
    let name = body.name.ok_or_else(|| Invalid::new("name", "is required"))?;
    let permissions = PermissionSet::default()
        .with(Permission::OrganizationAPITokenRead, body.read.unwrap_or_default())
        .with(Permission::OrganizationAPITokenModify, body.change.unwrap_or_default());
    let new = NewToken {
        id: None,
        name: name.parse()?,
        permissions: Some(permissions),
        allowed_cidr_blocks: None,
        expires_at: None,
        description: None,
        owner: None,
        disabled: false,
    };
    let token = state.service.create_without_value(call, new).await?;
    LegacyToken::from(&token).respond()
}

/// `PUT …/tokens/{uuid}`: changes the name and the two flags. Absent fields stay unchanged.
#[utoipa::path(
    put, path = "/tokens/{uuid}", operation_id = "updateLegacyToken", summary = "Update a token",
    description = "Changes the fields in the body. Absent fields keep their values.",
    params(UuidParameter),
    request_body = LegacyFields,
    responses((status = 200, description = "The token after the change", body = LegacyToken)),
    security(("BasicAuth" = [])),
)]
pub async fn update(
    state: Data<State>,
    Authenticated {
        call,
        input: (Json(body), Uuid(id)),
        ..
    }: AuthenticatedCall<(Json<LegacyFields>, Uuid)>,
) -> Result<HttpResponse, ApiError> {
    if let Some(uuid) = body.uuid.filter(|uuid| !uuid.is_null())
        && uuid.as_str().and_then(|uuid| uuid.parse().ok()) != Some(id)
    {
        return Err(Invalid::new("uuid", "must be absent or equal to the uuid in the path").into());
    }
    let flags = PermissionChange::Legacy {
        read: body.read,
        change: body.change,
    };
    let changes = TokenChanges {
        name: body.name.as_deref().map(str::parse).transpose()?,
        permissions: (body.read.is_some() || body.change.is_some()).then_some(flags),
        ..TokenChanges::default()
    };
    let token = state.service.update(call, TokenRef::Id(id), changes).await?;
    LegacyToken::from(&token).respond()
}

/// `GET …/tokens/{uuid}`: returns a token.
#[utoipa::path(
    get, path = "/tokens/{uuid}", operation_id = "getLegacyToken", summary = "Get a token",
    description = "Returns a token. Agent Apis for Bamboo does not have this operation.",
    params(UuidParameter),
    responses((status = 200, description = "The token", body = LegacyToken)),
    security(("BasicAuth" = [])),
)]
pub async fn get(
    state: Data<State>,
    Authenticated {
        call, input: Uuid(id), ..
    }: AuthenticatedCall<Uuid>,
) -> Result<HttpResponse, ApiError> {
    let token = state.service.get(&call, TokenRef::Id(id)).await?;
    LegacyToken::from(&token).respond()
}

/// `DELETE …/tokens/{uuid}`: deletes a token.
#[utoipa::path(
    delete, path = "/tokens/{uuid}", operation_id = "deleteLegacyToken", summary = "Delete a token",
    description = "Deletes a token. Agent Apis for Bamboo does not have this operation.",
    params(UuidParameter),
    responses((status = 204, description = "The token was deleted")),
    security(("BasicAuth" = [])),
)]
pub async fn delete(
    state: Data<State>,
    Authenticated {
        call, input: Uuid(id), ..
    }: AuthenticatedCall<Uuid>,
) -> Result<HttpResponse, ApiError> {
    state.service.delete(call, TokenRef::Id(id), Precondition::None).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_name_is_escaped(name in any::<String>(), read: bool, change: bool) {
            let uuid: TokenId = "2c4ee2ad-7c2c-4f02-8d0c-7ac2da6b0bb5".parse().unwrap();
            let mut text = Vec::new();
            let token = LegacyToken { uuid, name: &name, read, change };
            token.write_json(&mut text).unwrap();
            let parsed: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let expected = serde_json::json!({ "uuid": uuid, "name": name, "read": read, "change": change });
            prop_assert_eq!(parsed, expected);
        }
    }
}
