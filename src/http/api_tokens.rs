//! The `/api-tokens` API as published by Panther, with the extensions that `docs/api.md` lists.

pub mod format;
pub mod lookup;
mod new_token;
pub mod query;
mod response;
pub mod usage;

use std::time::Duration;

use actix_web::{
    HttpResponse,
    http::header::{self, HeaderValue},
    web::Data,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    State,
    error::ApiError,
    extract::{
        Authenticated, TokenOrAdmin,
        accept::Accepted,
        conditions::{Expected, IfMatchHeader, IfNoneMatchHeader, Known, etag},
        idempotency_key::{Idempotency, IdempotencyHeader},
        json::{Json, JsonBody, UnknownFields, field_names, not_null},
        path::{Id, IdParameter},
        query::Query,
    },
};
use crate::{
    domain::{
        Invalid,
        annotation::{Description, Owner},
        cidr::CidrBlocks,
        expiry::Expiry,
        invalid::parse_field,
        name::TokenName,
        page::{Cursor, PageSize},
        patch::Patch,
        permission::PermissionSet,
        precondition::Precondition,
    },
    service::tokens::{NewToken, PermissionChange, Rotation, TokenChanges},
    view::{
        api_token::{self, ApiToken, ListResp},
        schemas::{self, PermissionName},
    },
};
use new_token::NewApiToken;

use format::ListFormat;
use query::{DeleteQuery, FilterQuery, ListQuery};
use response::{NotModifiedResponse, TokenResponse, ValueResponse, respond};

const MAX_GRACE_SECONDS: f64 = 604_800.0;

/// The body of an update: Panther's `ModifyAPIToken`, with the extensions `expiresAt`, `description`, `owner`, and
/// `disabled`.
///
/// Absent fields keep their values
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(
    as = APITokenAPI::ModifyAPIToken,
    example = json!({ "name": "deployer", "allowedCIDRBlocks": ["10.0.0.0/8"] }),
)]
pub struct ModifyApiToken {
    /// The name of the token
    #[serde(default, deserialize_with = "not_null")]
    #[schema(required = false, schema_with = schemas::name)]
    name: Option<String>,
    /// The permissions of the token
    #[serde(default, deserialize_with = "not_null")]
    #[schema(required = false, nullable = false, value_type = Vec<PermissionName>)]
    permissions: Option<Vec<String>>,
    /// The CIDR blocks that the token may be used from, at most 100. If empty, it may be used from
    /// any address
    #[serde(rename = "allowedCIDRBlocks", default, deserialize_with = "not_null")]
    #[schema(required = false, schema_with = schemas::cidr_blocks)]
    allowed_cidr_blocks: Option<Vec<String>>,
    /// The expiry: a time in the future, and not after the expiry of the calling token; null for never
    #[serde(default)]
    #[schema(required = false, value_type = Option<String>, format = DateTime)]
    expires_at: Patch<String>,
    /// The description: what the token is for
    #[serde(default)]
    #[schema(required = false, schema_with = schemas::description_or_null)]
    description: Patch<String>,
    /// The person or team to ask about the token
    #[serde(default)]
    #[schema(required = false, schema_with = schemas::owner_or_null)]
    owner: Patch<String>,
    /// true to refuse every use of the token from now on, false to allow it
    #[serde(default, deserialize_with = "not_null")]
    #[schema(required = false, nullable = false)]
    disabled: Option<bool>,
}

impl JsonBody for ModifyApiToken {
    const UNKNOWN_FIELDS: UnknownFields = UnknownFields::Rejected {
        read_only: api_token::READ_ONLY_FIELDS,
    };
}

/// The body of rotate.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = APITokenAPI::RotateAPIToken, example = json!({ "gracePeriodSeconds": 60 }))]
pub struct RotateApiToken {
    /// Time in seconds for which the previous value stays valid. Without it, all earlier values stop working
    /// immediately
    #[serde(default, deserialize_with = "not_null")]
    #[schema(required = false, value_type = u32, minimum = 0, maximum = 604_800)]
    grace_period_seconds: Option<f64>,
    /// The new expiry: a time in the future; null for never
    #[serde(default)]
    #[schema(required = false, value_type = Option<String>, format = DateTime)]
    expires_at: Patch<String>,
}

impl JsonBody for RotateApiToken {
    const UNKNOWN_FIELDS: UnknownFields = UnknownFields::Rejected { read_only: &[] };

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

/// The response to a deletion by filters.
#[derive(Serialize, ToSchema)]
#[schema(as = APITokenAPI::DeletedTokens, example = json!({ "deleted": 2 }))]
pub struct DeletedTokens {
    /// Number of deleted tokens
    deleted: u64,
}

type AuthenticatedCall<I = ()> = Authenticated<TokenOrAdmin, I>;

/// `GET /api-tokens`: lists tokens, oldest first.
#[utoipa::path(
    get, path = "/api-tokens", tag = "API tokens", operation_id = "listApiTokens", summary = "List tokens",
    description = "Returns tokens that match all filters, oldest first. The `next` of a page is the `cursor` of the \
        following one.",
    params(ListQuery, FilterQuery),
    // With text/csv beside it, openapi-fetch would type every response as a union with a text.
    responses((
        status = 200, body = ListResp,
        description = "A page of the tokens. With Accept: text/csv, all of them as CSV, unless limit is given",
    )),
)]
pub async fn list(
    state: Data<State>,
    Authenticated {
        call,
        input: (Query(query), Accepted(format)),
        ..
    }: AuthenticatedCall<(Query<ListQuery>, Accepted<ListFormat>)>,
) -> Result<HttpResponse, ApiError> {
    let filter = query.filters.filter(state.config.legacy_uuid_auth)?;
    let after = query
        .cursor
        .map(|cursor| cursor.parse::<Cursor>())
        .transpose()?
        .unwrap_or_default();
    let size = query.limit.map(|limit| limit.parse::<PageSize>()).transpose()?;
    if format == ListFormat::Csv {
        return format::csv(state, call, filter, after, size).await;
    }
    let page = state
        .service
        .list(&call, filter, after, size.unwrap_or_default())
        .await?;
    let vary = (header::VARY, HeaderValue::from_static("accept"));
    Ok(HttpResponse::Ok().insert_header(vary).json(ListResp::from(&page)))
}

/// `DELETE /api-tokens`: deletes the tokens that match the filters, if their number is the expected
/// one.
#[utoipa::path(
    delete, path = "/api-tokens", tag = "API tokens", operation_id = "deleteApiTokens",
    summary = "Delete the tokens that match filters",
    description = "At least one filter is required. Without expected, the response is a 400 with the number of \
        matching tokens.",
    params(DeleteQuery, FilterQuery),
    responses((status = 200, description = "All matching tokens were deleted", body = DeletedTokens)),
)]
pub async fn delete_matching(
    state: Data<State>,
    Authenticated {
        call,
        input: Query(query),
        ..
    }: AuthenticatedCall<Query<DeleteQuery>>,
) -> Result<HttpResponse, ApiError> {
    let number = |text: String| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.ok_or_else(|| Invalid::new("expected", format!("{text:?} is not a whole number")))
    };
    let expected = query.expected.map(number).transpose()?;
    let filter = query.filters.filter(state.config.legacy_uuid_auth)?;
    let deleted = state.service.delete_matching(call, filter, expected).await?;
    Ok(HttpResponse::Ok().json(DeletedTokens { deleted }))
}

/// `POST /api-tokens`: creates a token. Only this response contains its value.
#[utoipa::path(
    post, path = "/api-tokens", tag = "API tokens", operation_id = "createApiToken", summary = "Create a token",
    description = "Creates a token and its value. Only this response contains the value.",
    params(IdempotencyHeader),
    request_body = NewApiToken,
    responses(ValueResponse),
)]
pub async fn create(
    state: Data<State>,
    Authenticated {
        call,
        input: (Json(body), Idempotency(key)),
        ..
    }: AuthenticatedCall<(Json<ModifyApiToken>, Idempotency)>,
) -> Result<HttpResponse, ApiError> {
    let new = NewToken {
        id: None,
        name: body.name()?.ok_or_else(|| Invalid::new("name", "is required"))?,
        permissions: body.permissions()?,
        allowed_cidr_blocks: body.blocks()?,
        description: body.description()?.apply(None),
        owner: body.owner()?.apply(None),
        disabled: body.disabled.unwrap_or_default(),
        expires_at: parse_expiry(body.expires_at)?,
    };
    let (token, value) = state.service.create(call, new, key).await?;
    Ok(respond(&token, &ApiToken::with_value(&token, &value)))
}

/// `GET /api-tokens/{id}`: returns a token. The ID `self` stands for the token that authenticates
/// the request.
#[utoipa::path(
    get,
    path = "/api-tokens/{id}",
    tag = "API tokens",
    operation_id = "getApiToken",
    summary = "Get a token",
    description = "Returns a token without its value.",
    params(IdParameter, IfNoneMatchHeader),
    responses(TokenResponse, NotModifiedResponse)
)]
pub async fn get(
    state: Data<State>,
    Authenticated {
        call,
        input: (Id(token), known),
        ..
    }: AuthenticatedCall<(Id, Known)>,
) -> Result<HttpResponse, ApiError> {
    let token = state.service.get(&call, token).await?;
    if known.includes(&token) {
        return Ok(HttpResponse::NotModified().insert_header(etag(&token)).finish());
    }
    Ok(respond(&token, &ApiToken::from(&token)))
}

/// `POST /api-tokens/{id}`: updates the fields in the body.
#[utoipa::path(
    post, path = "/api-tokens/{id}", tag = "API tokens", operation_id = "updateApiToken", summary = "Update a token",
    description = "Changes the fields in the body, at least one. Absent fields keep their values.",
    params(IdParameter, IfMatchHeader),
    request_body = ModifyApiToken,
    responses(TokenResponse),
)]
pub async fn update(
    state: Data<State>,
    Authenticated {
        call,
        input: (Json(body), Id(token), Expected(precondition)),
        ..
    }: AuthenticatedCall<(Json<ModifyApiToken>, Id, Expected)>,
) -> Result<HttpResponse, ApiError> {
    let changes = body.changes(precondition)?;
    if changes.is_empty() {
        let fields = field_names::<ModifyApiToken>().join(", ");
        return Err(ApiError::bad_request(format!(
            "the body must set at least one of {fields}"
        )));
    }
    let token = state.service.update(call, token, changes).await?;
    Ok(respond(&token, &ApiToken::from(&token)))
}

/// `POST /api-tokens/{id}/rotate`: rotates a token. Only this response contains the new value.
#[utoipa::path(
    post, path = "/api-tokens/{id}/rotate", tag = "API tokens", operation_id = "rotateApiToken",
    summary = "Rotate a token",
    description = "Replaces the value of a token. Only this response contains the new value.",
    params(IdParameter, IfMatchHeader, IdempotencyHeader),
    request_body = Option<RotateApiToken>,
    responses(ValueResponse),
)]
pub async fn rotate(
    state: Data<State>,
    Authenticated {
        call,
        input: (Json(body), Id(token), (Expected(precondition), Idempotency(key))),
        ..
    }: AuthenticatedCall<(Json<RotateApiToken>, Id, (Expected, Idempotency))>,
) -> Result<HttpResponse, ApiError> {
    // JSON does not distinguish 60 from 60.0.
    let seconds = body.grace_period_seconds.unwrap_or_default();
    if seconds.fract() != 0.0 || !(0.0..=MAX_GRACE_SECONDS).contains(&seconds) {
        let message = format!("{seconds} is not a whole number from 0 to {MAX_GRACE_SECONDS}");
        return Err(Invalid::new("gracePeriodSeconds", message).into());
    }
    let rotation = Rotation {
        grace_period: Duration::from_secs_f64(seconds),
        expires_at: parse_expiry(body.expires_at)?,
        precondition,
    };
    let (token, value) = state.service.rotate(call, token, rotation, key).await?;
    Ok(respond(&token, &ApiToken::with_value(&token, &value)))
}

/// `DELETE /api-tokens/{id}`: deletes a token.
#[utoipa::path(
    delete, path = "/api-tokens/{id}", tag = "API tokens", operation_id = "deleteApiToken", summary = "Delete a token",
    description = "Deletes a token. Its value stops working immediately.",
    params(IdParameter, IfMatchHeader),
    responses((status = 204, description = "The token was deleted")),
)]
pub async fn delete(
    state: Data<State>,
    Authenticated {
        call,
        input: (Id(token), Expected(precondition)),
        ..
    }: AuthenticatedCall<(Id, Expected)>,
) -> Result<HttpResponse, ApiError> {
    state.service.delete(call, token, precondition).await?;
    Ok(HttpResponse::NoContent().finish())
}

impl ModifyApiToken {
    fn name(&self) -> Result<Option<TokenName>, Invalid> {
        self.name.as_deref().map(str::parse).transpose()
    }

    fn permissions(&self) -> Result<Option<PermissionSet>, Invalid> {
        self.permissions.as_ref().map(PermissionSet::parse).transpose()
    }

    fn blocks(&self) -> Result<Option<CidrBlocks>, Invalid> {
        self.allowed_cidr_blocks.as_ref().map(CidrBlocks::parse).transpose()
    }

    fn description(&self) -> Result<Patch<Description>, Invalid> {
        self.description.parse()
    }

    fn owner(&self) -> Result<Patch<Owner>, Invalid> {
        self.owner.parse()
    }

    fn changes(self, precondition: Precondition) -> Result<TokenChanges, Invalid> {
        Ok(TokenChanges {
            name: self.name()?,
            permissions: self.permissions()?.map(PermissionChange::Replace),
            allowed_cidr_blocks: self.blocks()?,
            description: self.description()?,
            owner: self.owner()?,
            disabled: self.disabled,
            expires_at: parse_expiry(self.expires_at)?,
            precondition,
        })
    }
}

fn parse_expiry(field: Patch<String>) -> Result<Option<Expiry>, Invalid> {
    Ok(match field {
        Patch::Keep => None,
        Patch::Clear => Some(Expiry::Never),
        Patch::Set(text) => Some(Expiry::At(parse_field("expiresAt", &text)?)),
    })
}
