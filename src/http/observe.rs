//! What is seen of every request: its id, its line in the log, and the headers of every answer.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderValue},
    middleware::Next,
    web::Data,
};

use super::{
    State, error::Failure, extract::client_address::ClientAddress, legacy::Prefix, metrics::method_label, request_id,
};
use crate::domain::{
    actor::{Actor, ActorKind},
    legacy_usage::{LegacyCaller, user_agent},
};

/// As whom a request was made.
#[derive(Clone, Debug)]
pub struct CalledBy(pub Actor);

impl CalledBy {
    /// How the log shows it. A token's id stays out of it: the uuid of a legacy token can be a credential.
    fn label(&self) -> String {
        match self.0.kind {
            ActorKind::User => format!("admin {}", self.0.id),
            ActorKind::ApiToken => "token".to_owned(),
            ActorKind::System => "command line".to_owned(),
        }
    }
}

/// Gives a request its id and its client's address, writes its line in the log, and puts on its answer what every answer has.
///
/// The line shows the route's pattern and never the path or the query, which can hold a credential.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = request_id::choose(request.headers());
    request_id::scope(Rc::clone(&id), observed(request, next, &id)).await
}

async fn observed(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    id: &str,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let began = Instant::now();
    let mut response = match prepare(&request) {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(failure) => request.error_response(failure),
    };
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(request_id::HEADER, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let took = began.elapsed();
    if let Some(state) = response.request().app_data::<Data<State>>() {
        state.traffic.count(&response, took);
        if let Some(caller) = legacy_caller(response.request()) {
            state.service.legacy_called(caller);
        }
    }
    log_response(&response, took);
    Ok(response)
}

/// Finds the client's address.
fn prepare(request: &ServiceRequest) -> Result<(), Failure> {
    let Some(state) = request.app_data::<Data<State>>() else {
        return Ok(());
    };
    // A client that has reset its connection already has no address any more, and gets no answer anyway.
    let peer = request
        .peer_addr()
        .ok_or_else(|| Failure::bad_request("the connection is gone"))?;
    let client = state.config.proxies.client_address(peer.ip(), request.headers());
    request.extensions_mut().insert(ClientAddress(client));
    Ok(())
}

/// Who has used a legacy door, if one was used.
fn legacy_caller(request: &HttpRequest) -> Option<LegacyCaller> {
    let extensions = request.extensions();
    let Prefix(prefix) = extensions.get().or_else(|| request.app_data())?;
    let program = request.headers().get(header::USER_AGENT);
    Some(LegacyCaller {
        prefix: (*prefix).to_owned(),
        method: method_label(request.method()).to_owned(),
        actor: extensions.get::<CalledBy>().map(|by| by.0.clone()),
        client: Some(extensions.get::<ClientAddress>()?.0),
        user_agent: program.map(|value| user_agent(value.as_bytes())).unwrap_or_default(),
    })
}

fn log_response<B>(response: &ServiceResponse<B>, took: Duration) {
    let request = response.request();
    if let Some(cause) = response
        .response()
        .error()
        .and_then(|error| error.as_error::<Failure>()?.cause())
    {
        log::error!("{}", with_sources(cause));
    }
    let extensions = request.extensions();
    let caller = extensions
        .get::<CalledBy>()
        .map_or_else(|| "-".to_owned(), CalledBy::label);
    let client = extensions.get::<ClientAddress>().map(|client| client.0);
    log::info!(
        target: "tokenbridge::access",
        method = method_label(request.method()),
        route = request.match_pattern().as_deref().unwrap_or("-"),
        status = response.status().as_u16(),
        microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        client = client.map_or_else(|| "-".to_owned(), |address| address.to_string()).as_str(),
        caller = caller.as_str();
        "request"
    );
}

/// An error with all that caused it, on one line.
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
