//! `POST /introspect`: token introspection (RFC 7662) for other services.

use std::net::IpAddr;

use actix_web::{HttpResponse, web::Data};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::{Invalid, caller::Call, clock::Timestamp},
    http::{State, error::ApiError, extract::oauth_client::OauthRequest},
    service::VerifiedToken,
    view::schemas::ip_address,
};

/// The parameters of `POST /introspect`. Other parameters, such as `token_type_hint`, are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({
    "token": "tbk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADCtZhg", "client_ip": "10.0.0.7"
}))]
pub struct IntrospectionRequest {
    /// The presented value
    #[schema(required, nullable = false)]
    token: Option<String>,
    /// The address of the client that presented it. Without it, a token that is limited to CIDR
    /// blocks is inactive
    #[schema(required = false, schema_with = ip_address)]
    client_ip: Option<String>,
}

/// The state of a value. For an inactive value, only `active` is present.
#[derive(Default, Serialize, ToSchema)]
#[schema(example = json!({
    "active": true, "scope": "OrganizationAPITokenRead", "client_id": "7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0",
    "sub": "7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0", "iat": 1_795_262_400, "exp": 1_826_798_400,
}))]
pub struct Introspection {
    /// Whether the value is active
    active: bool,
    /// The permissions of the token, separated by spaces
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope: Option<String>,
    /// The ID of the token
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uuid")]
    client_id: Option<String>,
    /// The ID of the token, which acts for itself
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uuid")]
    sub: Option<String>,
    /// When the value was created, in seconds since 1970; absent for a value in its grace period
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    iat: Option<i64>,
    /// When the value expires, in seconds since 1970; absent if it does not expire
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    exp: Option<i64>,
}

impl From<VerifiedToken> for Introspection {
    fn from(VerifiedToken { token, valid_until, .. }: VerifiedToken) -> Self {
        let id = token.id.to_string();
        let issued_at = match valid_until {
            // The store does not keep the creation time of a previous value.
            Some(_) => None,
            None => Some(token.rotated_at.unwrap_or(token.created.at)),
        };
        Self {
            active: true,
            scope: Some(token.permissions.to_string()),
            client_id: Some(id.clone()),
            // The subject is the token itself: it does not act for a user (RFC 9068, section 2.2).
            sub: Some(id),
            iat: issued_at.map(Timestamp::seconds),
            exp: token
                .expires_at
                .time()
                .into_iter()
                .chain(valid_until)
                .min()
                .map(Timestamp::seconds),
        }
    }
}

/// `POST /introspect`: returns the state and the permissions of a value.
#[utoipa::path(
    post, path = "/introspect", tag = "For other services", operation_id = "introspect",
    summary = "Introspect a token value (RFC 7662)",
    description = "Returns the state of a value that a client presented to your service. An active response counts as \
        a use of the token. A token may also authenticate with Basic, with its ID and its value, or with client_id and \
        client_secret in the form.",
    request_body(content = IntrospectionRequest, content_type = "application/x-www-form-urlencoded"),
    responses((
        status = 200, description = "The state of the value, and its permissions if it is active",
        body = Introspection,
    )),
)]
pub async fn introspect(
    state: Data<State>,
    OauthRequest {
        client: call,
        form: body,
    }: OauthRequest<Call, IntrospectionRequest>,
) -> Result<HttpResponse, ApiError> {
    let presented = body.token.ok_or_else(|| Invalid::new("token", "is required"))?;
    let client_ip: Option<IpAddr> = body
        .client_ip
        .map(|address| {
            address
                .parse()
                .map_err(|_| Invalid::new("client_ip", "must be an IP address, such as 10.0.0.7"))
        })
        .transpose()?;
    let known = state.service.introspect(&call, &presented, client_ip).await?;
    Ok(HttpResponse::Ok().json(known.map(Introspection::from).unwrap_or_default()))
}
