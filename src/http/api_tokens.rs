//! The `/api-tokens` API, as Panther publishes it, with the extensions that `docs/api.md` names.

pub mod view;

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, error::QueryPayloadError, web::Query};
use serde::Deserialize;

use super::{
    error::Failure,
    extract::{
        Authenticated, TokenOrAdmin,
        json::{Fields, Json, Others, nullable},
        state,
    },
};
use crate::{
    domain::{
        Invalid,
        cidr::CidrBlocks,
        clock::Timestamp,
        name::TokenName,
        page::{Cursor, PageSize, TokenFilter, TokenState},
        permission::PermissionSet,
        token::TokenId,
    },
    service::{
        Error,
        tokens::{NewToken, PermissionChange, Rotation, TokenChanges, TokenRef},
    },
};
use view::{ApiToken, ListResp};

const LONGEST_GRACE_SECONDS: u64 = 604_800;

/// What `GET /api-tokens` takes in its query.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ListQuery {
    limit: Option<String>,
    cursor: Option<String>,
    name: Option<String>,
    state: Option<String>,
    unused_since: Option<String>,
    expires_before: Option<String>,
}

/// What create and update take: Panther's `ModifyAPIToken`, and `expiresAt`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModifyApiToken {
    name: Option<String>,
    permissions: Option<Vec<String>>,
    #[serde(rename = "allowedCIDRBlocks")]
    allowed_cidr_blocks: Option<Vec<String>>,
    #[serde(default, deserialize_with = "nullable")]
    expires_at: Option<Option<String>>,
}

impl Fields for ModifyApiToken {
    const OTHERS: Others = Others::Refused {
        known: &["name", "permissions", "allowedCIDRBlocks", "expiresAt"],
        read_only: view::READ_ONLY_FIELDS,
    };
}

/// What rotate takes.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotateApiToken {
    grace_period_seconds: Option<i64>,
    #[serde(default, deserialize_with = "nullable")]
    expires_at: Option<Option<String>>,
}

impl Fields for RotateApiToken {
    const OTHERS: Others = Others::Refused {
        known: &["gracePeriodSeconds", "expiresAt"],
        read_only: &[],
    };

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

type Call<B = ()> = Authenticated<TokenOrAdmin, B>;

/// `GET /api-tokens`: a page of the tokens, oldest first.
pub async fn list(request: HttpRequest, Authenticated { call, .. }: Call) -> Result<HttpResponse, Failure> {
    let Query(query) = Query::<ListQuery>::from_query(request.query_string()).map_err(|error| {
        let QueryPayloadError::Deserialize(reason) = error else {
            return Failure::bad_request("the query cannot be read");
        };
        Failure::bad_request(format!("the query cannot be read: {reason}"))
    })?;
    let time = |field, text: Option<String>| text.map(|text| Timestamp::parse(field, &text)).transpose();
    let filter = TokenFilter {
        name: query.name.filter(|name| !name.is_empty()).map(searchable).transpose()?,
        state: query.state.map(|state| TokenState::parse(&state)).transpose()?,
        unused_since: time("unusedSince", query.unused_since)?,
        expires_before: time("expiresBefore", query.expires_before)?,
    };
    let after = query
        .cursor
        .map(|cursor| Cursor::parse(&cursor))
        .transpose()?
        .unwrap_or_default();
    let size = query
        .limit
        .map(|limit| PageSize::parse(&limit))
        .transpose()?
        .unwrap_or_default();
    let page = state(&request)?.service.list(&call, filter, after, size).await?;
    Ok(HttpResponse::Ok().json(ListResp::from(&page)))
}

/// `POST /api-tokens`: makes a token. Its value is in this answer alone.
pub async fn create(
    request: HttpRequest,
    Authenticated {
        call, body: Json(body), ..
    }: Call<Json<ModifyApiToken>>,
) -> Result<HttpResponse, Failure> {
    let new = NewToken {
        name: body.name()?.ok_or_else(|| Invalid::new("name", "it is required"))?,
        permissions: body.permissions()?,
        allowed_cidr_blocks: body.blocks()?,
        expires_at: expiry(body.expires_at)?.flatten(),
    };
    let (token, value) = state(&request)?.service.create(call, new).await?;
    Ok(HttpResponse::Ok().json(ApiToken::with_value(&token, &value)))
}

/// `GET /api-tokens/{id}`: one token, or with `self` the one that the call is made with.
pub async fn get(request: HttpRequest, Authenticated { call, .. }: Call) -> Result<HttpResponse, Failure> {
    let token = state(&request)?.service.get(&call, token_ref(&request)?).await?;
    Ok(HttpResponse::Ok().json(ApiToken::from(&token)))
}

/// `POST /api-tokens/{id}`: changes what the body names.
pub async fn update(
    request: HttpRequest,
    Authenticated {
        call, body: Json(body), ..
    }: Call<Json<ModifyApiToken>>,
) -> Result<HttpResponse, Failure> {
    let changes = body.changes()?;
    if changes == TokenChanges::default() {
        let message = "the body names none of name, permissions, allowedCIDRBlocks and expiresAt";
        return Err(Failure::bad_request(message));
    }
    let token = state(&request)?
        .service
        .update(call, token_ref(&request)?, changes)
        .await?;
    Ok(HttpResponse::Ok().json(ApiToken::from(&token)))
}

/// `POST /api-tokens/{id}/rotate`: gives the token a new value, which is in this answer alone.
pub async fn rotate(
    request: HttpRequest,
    Authenticated {
        call, body: Json(body), ..
    }: Call<Json<RotateApiToken>>,
) -> Result<HttpResponse, Failure> {
    let seconds = body.grace_period_seconds.unwrap_or_default();
    let grace_period = u64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds <= LONGEST_GRACE_SECONDS)
        .ok_or_else(|| {
            let message = format!("{seconds} is not a whole number from 0 to {LONGEST_GRACE_SECONDS}");
            Invalid::new("gracePeriodSeconds", message)
        })?;
    let rotation = Rotation {
        grace_period: Duration::from_secs(grace_period),
        expires_at: expiry(body.expires_at)?,
    };
    let (token, value) = state(&request)?
        .service
        .rotate(call, token_ref(&request)?, rotation)
        .await?;
    Ok(HttpResponse::Ok().json(ApiToken::with_value(&token, &value)))
}

/// `DELETE /api-tokens/{id}`: removes a token.
pub async fn delete(request: HttpRequest, Authenticated { call, .. }: Call) -> Result<HttpResponse, Failure> {
    state(&request)?.service.delete(call, token_ref(&request)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

impl ModifyApiToken {
    fn name(&self) -> Result<Option<TokenName>, Invalid> {
        self.name.as_deref().map(TokenName::parse).transpose()
    }

    fn permissions(&self) -> Result<Option<PermissionSet>, Invalid> {
        self.permissions.as_ref().map(PermissionSet::parse).transpose()
    }

    fn blocks(&self) -> Result<Option<CidrBlocks>, Invalid> {
        self.allowed_cidr_blocks.as_ref().map(CidrBlocks::parse).transpose()
    }

    fn changes(self) -> Result<TokenChanges, Invalid> {
        Ok(TokenChanges {
            name: self.name()?,
            permissions: self.permissions()?.map(PermissionChange::Replace),
            allowed_cidr_blocks: self.blocks()?,
            expires_at: expiry(self.expires_at)?,
        })
    }
}

/// No name contains a control character, and PostgreSQL takes no NUL.
fn searchable(part: String) -> Result<String, Invalid> {
    if part.chars().any(char::is_control) {
        return Err(Invalid::new("name", "no name contains a control character"));
    }
    Ok(part)
}

fn expiry(field: Option<Option<String>>) -> Result<Option<Option<Timestamp>>, Invalid> {
    let time = |text: String| Timestamp::parse("expiresAt", &text);
    field.map(|text| text.map(time).transpose()).transpose()
}

fn token_ref(request: &HttpRequest) -> Result<TokenRef, Error> {
    match request.match_info().get("id") {
        Some("self") => Ok(TokenRef::Itself),
        id => id
            .and_then(TokenId::parse)
            .map(TokenRef::Id)
            .ok_or(Error::NotFound("token")),
    }
}
