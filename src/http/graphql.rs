//! GraphQL at `/public/graphql`: the operations that Panther's own clients use, and a playground.

mod budget;
mod cost;
pub(super) mod nesting;
pub mod playground;
mod schema;

use std::sync::Arc;

use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};
use async_graphql::{Request, Response, ServerError, Variables};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    State,
    error::{ApiError, map_error_body},
    extract::{
        Authenticated, TokenOnly,
        json::{Json, JsonBody, UnknownFields},
    },
};
use crate::{service, view::schemas::GraphqlResponse};
use budget::Budget;
use schema::{RotationCell, SCHEMA};

/// A request in GraphQL over HTTP. Other fields, such as `extensions`, are ignored.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({ "query": "{ generalSettings { pantherVersion } }" }))]
pub struct GraphqlRequest {
    /// The GraphQL document
    query: String,
    /// The operation to execute, if the document has more than one
    operation_name: Option<String>,
    /// The variables of the operation
    #[schema(value_type = Option<serde_json::Map<String, serde_json::Value>>)]
    variables: Option<Variables>,
}

impl JsonBody for GraphqlRequest {
    const UNKNOWN_FIELDS: UnknownFields = UnknownFields::Ignored;
}

impl From<GraphqlRequest> for Request {
    fn from(body: GraphqlRequest) -> Self {
        let request = Self::new(body.query).variables(body.variables.unwrap_or_default());
        match body.operation_name {
            Some(name) => request.operation_name(name),
            None => request,
        }
    }
}

/// `POST /public/graphql`: executes a query or a mutation. Execution errors are in the response
/// beside the data, with status 200.
#[utoipa::path(
    post, path = "/public/graphql", tag = "GraphQL", operation_id = "executeGraphql",
    summary = "Execute a query or a mutation",
    description = "Executes one operation. Its errors are in the response beside the data, with status 200.",
    request_body = GraphqlRequest,
    responses((
        status = 200, description = "The data and errors of the operation", body = GraphqlResponse,
        example = json!({ "data": { "generalSettings": { "pantherVersion": "0.2.0" } } }),
    )),
    security(("ApiKeyAuth" = [])),
)]
pub async fn execute(
    state: Data<State>,
    Authenticated {
        call,
        input: Json(body),
        ..
    }: Authenticated<TokenOnly, Json<GraphqlRequest>>,
) -> Result<HttpResponse, ApiError> {
    if nesting::nests_too_deeply(&body.query) {
        let message = format!("the document is nested more than {} levels deep", nesting::MAX_DEPTH);
        return Err(ApiError::bad_request(message));
    }
    let mut request = Request::from(body);
    let mut response = if let Some(error) = validate(&mut request)? {
        Response::from_errors(vec![error])
    } else {
        let budget = Arc::new(Budget::default());
        let request = request
            .data(state.into_inner())
            .data(call)
            .data(RotationCell::default());
        tokio::select! {
            response = SCHEMA.execute(request.data(Arc::clone(&budget))) => response,
            () = budget.exceeded() => return Err(response_too_large()),
        }
    };
    budget::limit_errors(&mut response);
    let text = serde_json::to_string(&response).map_err(|error| service::Error::Internal(error.into()))?;
    if text.len() > budget::MAX_BYTES {
        return Err(response_too_large());
    }
    Ok(HttpResponse::Ok().content_type("application/json").body(text))
}

fn response_too_large() -> ApiError {
    let max = budget::MAX_BYTES;
    ApiError::bad_request(format!(
        "the response would have more than {max} bytes; request fewer fields"
    ))
}

/// Returns an error to respond with if the document is malformed or too expensive.
///
/// # Errors
/// 400 if its response would be too large.
pub(super) fn validate(request: &mut Request) -> Result<Option<ServerError>, ApiError> {
    let (variables, operation) = (std::mem::take(&mut request.variables), request.operation_name.clone());
    let checked = match request.parsed_query() {
        Err(error) => Some(error),
        Ok(document) => match cost::check(document, operation.as_deref(), &variables) {
            Err(reason) => Some(ServerError::new(reason, None)),
            Ok(()) if budget::could_exceed(document) => return Err(response_too_large()),
            Ok(()) => None,
        },
    };
    request.variables = variables;
    Ok(checked)
}

/// Middleware that converts error responses to GraphQL's format: `{"errors": [{"message": …}]}`.
pub async fn wrap_errors(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    Ok(finish_response(next.call(request).await?))
}

/// Converts an error response to GraphQL's format.
pub fn finish_response(response: ServiceResponse<impl MessageBody + 'static>) -> ServiceResponse<BoxBody> {
    map_error_body(response, |failure| {
        let extensions = json!({ "code": failure.code() });
        json!({ "errors": [{ "message": failure.message(), "extensions": extensions }] }).to_string()
    })
}
