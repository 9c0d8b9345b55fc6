//! `GET /.well-known/oauth-authorization-server`: the metadata of the OAuth endpoints (RFC 8414).

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::permission::Permission,
    http::{State, error::ApiError, extract::site},
    view::schemas::PermissionName,
};

/// The metadata. There is no endpoint that issues tokens.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "issuer": "https://tokens.example",
    "introspection_endpoint": "https://tokens.example/introspect",
    "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "Bearer"],
    "revocation_endpoint": "https://tokens.example/revoke",
    "revocation_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
    "response_types_supported": [],
    "scopes_supported": ["OrganizationAPITokenRead"],
}))]
pub struct ServerMetadata {
    /// The origin that the request came to, and the context path
    issuer: String,
    /// The URL of token introspection
    introspection_endpoint: String,
    /// How clients authenticate there: with the ID and a value of a token, or with a value alone
    introspection_endpoint_auth_methods_supported: [&'static str; 3],
    /// The URL of token revocation
    revocation_endpoint: String,
    /// How clients authenticate there, if they do
    revocation_endpoint_auth_methods_supported: [&'static str; 3],
    /// Empty: there is no authorization endpoint
    response_types_supported: [&'static str; 0],
    /// The permissions
    #[schema(value_type = Vec<PermissionName>)]
    scopes_supported: Vec<&'static str>,
}

/// `GET /.well-known/oauth-authorization-server`: returns the metadata.
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", tag = "For other services", operation_id = "oauthMetadata",
    summary = "Get the metadata of the OAuth endpoints (RFC 8414)",
    description = "Names the endpoints for introspection and revocation, and how clients authenticate there.",
    responses((status = 200, description = "The metadata", body = ServerMetadata)),
    security(()),
)]
pub async fn metadata(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let issuer = site::own_origin(&request)? + &state.config.base_path;
    Ok(HttpResponse::Ok().json(ServerMetadata {
        introspection_endpoint: format!("{issuer}/introspect"),
        introspection_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "Bearer"],
        revocation_endpoint: format!("{issuer}/revoke"),
        revocation_endpoint_auth_methods_supported: ["none", "client_secret_basic", "client_secret_post"],
        response_types_supported: [],
        scopes_supported: Permission::ALL.iter().map(|permission| permission.name()).collect(),
        issuer,
    }))
}
