//! The tokens API of "Agent Apis for Bamboo": the four fields that its scripts know, and nothing else.

mod answer;
mod list;

use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use super::{
    error::Failure,
    extract::{
        AdminOnly, Authenticated,
        json::{Fields, Json, Others},
        state,
    },
};
use crate::{
    domain::{
        Invalid,
        name::TokenName,
        permission::{Permission, PermissionSet},
        token::{Token, TokenId},
    },
    service::{
        Error,
        tokens::{NewToken, PermissionChange, TokenChanges, TokenRef},
    },
};
pub use answer::{LegacyMode, Phase, answer};
pub use list::list;

/// The prefix that a legacy path begins with, after the context path.
#[derive(Clone, Copy, Debug)]
pub struct Prefix(pub &'static str);

/// A token as the legacy page shows it: scripts split this text at its commas and colons, so the order and the form are part of it.
#[derive(Serialize)]
struct LegacyToken<'a> {
    uuid: String,
    name: &'a str,
    read: bool,
    change: bool,
}

impl<'a> From<&'a Token> for LegacyToken<'a> {
    fn from(token: &'a Token) -> Self {
        Self {
            uuid: token.id.to_string(),
            name: token.name.as_str(),
            read: token.legacy_read(),
            change: token.legacy_change(),
        }
    }
}

/// What create and update take. Other fields are ignored, as is the `uuid` of a create.
#[derive(Deserialize)]
pub struct LegacyFields {
    uuid: Option<serde_json::Value>,
    name: Option<String>,
    read: Option<bool>,
    change: Option<bool>,
}

impl Fields for LegacyFields {
    const OTHERS: Others = Others::Ignored;
}

type Call<B = ()> = Authenticated<AdminOnly, B>;

/// `POST …/tokens`: makes a token without a value.
pub async fn create(
    request: HttpRequest,
    Authenticated {
        call, body: Json(body), ..
    }: Call<Json<LegacyFields>>,
) -> Result<HttpResponse, Failure> {
    let name = body.name.ok_or_else(|| Invalid::new("name", "it is required"))?;
    let permissions = PermissionSet::default()
        .with(Permission::OrganizationAPITokenRead, body.read.unwrap_or_default())
        .with(Permission::OrganizationAPITokenModify, body.change.unwrap_or_default());
    let new = NewToken {
        name: TokenName::parse(name)?,
        permissions: Some(permissions),
        allowed_cidr_blocks: None,
        expires_at: None,
    };
    let token = state(&request)?.service.create_without_value(call, new).await?;
    Ok(HttpResponse::Ok().json(LegacyToken::from(&token)))
}

/// `PUT …/tokens/{uuid}`: changes the name and the two flags, as far as they are given.
pub async fn update(
    request: HttpRequest,
    Authenticated {
        call, body: Json(body), ..
    }: Call<Json<LegacyFields>>,
) -> Result<HttpResponse, Failure> {
    let id = id(&request)?;
    if let Some(uuid) = body.uuid.filter(|uuid| !uuid.is_null())
        && uuid.as_str().and_then(TokenId::parse) != Some(id)
    {
        return Err(Invalid::new(
            "uuid",
            "it differs from the one in the path; leave it out or make them the same",
        )
        .into());
    }
    let flags = PermissionChange::Legacy {
        read: body.read,
        change: body.change,
    };
    let changes = TokenChanges {
        name: body.name.map(TokenName::parse).transpose()?,
        permissions: (body.read.is_some() || body.change.is_some()).then_some(flags),
        ..TokenChanges::default()
    };
    let token = state(&request)?.service.update(call, TokenRef::Id(id), changes).await?;
    Ok(HttpResponse::Ok().json(LegacyToken::from(&token)))
}

/// `GET …/tokens/{uuid}`: one token.
pub async fn get(request: HttpRequest, Authenticated { call, .. }: Call) -> Result<HttpResponse, Failure> {
    let token = state(&request)?.service.get(&call, TokenRef::Id(id(&request)?)).await?;
    Ok(HttpResponse::Ok().json(LegacyToken::from(&token)))
}

/// `DELETE …/tokens/{uuid}`: removes a token.
pub async fn delete(request: HttpRequest, Authenticated { call, .. }: Call) -> Result<HttpResponse, Failure> {
    state(&request)?
        .service
        .delete(call, TokenRef::Id(id(&request)?))
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

fn id(request: &HttpRequest) -> Result<TokenId, Error> {
    request
        .match_info()
        .get("uuid")
        .and_then(TokenId::parse)
        .ok_or(Error::NotFound("token"))
}
