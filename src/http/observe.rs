//! What is seen of every request: its id, its line in the log, and the headers of every answer.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::{
    Error, HttpMessage,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderValue},
    middleware::Next,
    web::Data,
};

use super::{State, error::Failure, extract::client_address::ClientAddress, metrics::method_label, request_id};

/// As whom a request was made, for its line in the log.
#[derive(Clone, Debug)]
pub struct CallerLabel(pub String);

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
    let caller = extensions.get::<CallerLabel>().map_or("-", |label| label.0.as_str());
    let client = extensions.get::<ClientAddress>().map(|client| client.0);
    log::info!(
        target: "tokenbridge::access",
        method = method_label(request.method()),
        route = request.match_pattern().as_deref().unwrap_or("-"),
        status = response.status().as_u16(),
        microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        client = client.map_or_else(|| "-".to_owned(), |address| address.to_string()).as_str(),
        caller = caller;
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
