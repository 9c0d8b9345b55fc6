//! Token introspection (RFC 7662): what a value is worth that somebody has shown to a service.

use std::net::IpAddr;

use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use super::{
    error::Failure,
    extract::{Authenticated, TokenOrAdmin, form::Form, state},
};
use crate::{domain::Invalid, service::Recognised};

/// What `POST /introspect` takes; other parameters, `token_type_hint` among them, are ignored.
#[derive(Deserialize)]
pub struct IntrospectionRequest {
    token: Option<String>,
    client_ip: Option<String>,
}

/// What it answers: of a value that is worth nothing only that.
#[derive(Default, Serialize)]
struct Introspection {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
}

impl From<Recognised> for Introspection {
    fn from(Recognised { token, works_until }: Recognised) -> Self {
        let id = token.id.to_string();
        let issued_at = match works_until {
            // When the value of a grace period was made is not kept.
            Some(_) => None,
            None => Some(token.rotated_at.unwrap_or(token.created.at)),
        };
        Self {
            active: true,
            scope: Some(token.permissions.to_string()),
            client_id: Some(id.clone()),
            // A token acts for itself, and not for a person (RFC 9068, section 2.2).
            sub: Some(id),
            iat: issued_at.map(|at| at.seconds()),
            exp: token
                .expires_at
                .into_iter()
                .chain(works_until)
                .min()
                .map(|end| end.seconds()),
        }
    }
}

/// `POST /introspect`: whether a value is good, and for what.
pub async fn introspect(
    request: HttpRequest,
    Authenticated {
        call, body: Form(body), ..
    }: Authenticated<TokenOrAdmin, Form<IntrospectionRequest>>,
) -> Result<HttpResponse, Failure> {
    let presented = body.token.ok_or_else(|| Invalid::new("token", "it is required"))?;
    let client: Option<IpAddr> = body
        .client_ip
        .map(|address| {
            address
                .parse()
                .map_err(|_| Invalid::new("client_ip", "it is not an IP address"))
        })
        .transpose()?;
    let known = state(&request)?.service.introspect(&call, &presented, client).await?;
    Ok(HttpResponse::Ok().json(known.map(Introspection::from).unwrap_or_default()))
}
