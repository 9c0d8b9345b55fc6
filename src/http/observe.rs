//! Observes every request: assigns its ID, writes its access log line and metrics, and adds the
//! headers that all responses have.

use std::{
    fmt::Display,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, StatusCode,
        header::{self, HeaderValue},
    },
    web::Data,
};

use super::{
    State,
    connection::{self, Exchange, ResponseBody},
    endpoints::{ENDPOINTS, ErrorFormat},
    error::{ApiError, Challenge},
    extract::client_address::ClientAddress,
    graphql, legacy,
    metrics::method_label,
    oauth, path,
    request::{CallerIdentity, LegacyPrefix, RoutePattern},
    request_id::{self, RequestId},
};
use crate::{
    domain::{
        actor::{Channel, Origin},
        errors::error_chain,
        legacy_usage::{LegacyCaller, normalize_user_agent},
    },
    service::CredentialKind,
};

/// The log target of access log lines.
pub const ACCESS_LOG_TARGET: &str = "tokenbridge::access";

/// The requests that the access log shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AccessLog {
    /// All requests.
    #[default]
    All,
    /// Requests whose response has a status of 400 or above.
    Errors,
    /// None.
    Off,
}

impl AccessLog {
    fn shows(self, status: StatusCode) -> bool {
        match self {
            Self::All => true,
            Self::Errors => status.is_client_error() || status.is_server_error(),
            Self::Off => false,
        }
    }
}

/// Assigns a request its ID and its client's address, logs the request, and adds the common headers
/// to the response.
///
/// The log line contains the route pattern, never the path or the query, which can contain
/// credentials.
pub fn observe<S, B>(
    mut request: ServiceRequest,
    app: &S,
) -> impl Future<Output = Result<ServiceResponse<ResponseBody>, Error>> + use<S, B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    let began = Instant::now();
    let exchange = Exchange::begin(&request);
    path::normalize(&mut request);
    let id = RequestId::from_headers(request.headers());
    let answer = match prepare(&request) {
        Ok(()) => Ok(app.call(request)),
        Err(failure) => Err(refuse(request, failure)),
    };
    request_id::scope(id, complete_response(answer, exchange, id, began))
}

async fn complete_response<B: MessageBody + 'static>(
    answer: Result<impl Future<Output = Result<ServiceResponse<B>, Error>>, ServiceResponse<BoxBody>>,
    exchange: Exchange,
    id: RequestId,
    began: Instant,
) -> Result<ServiceResponse<ResponseBody>, Error> {
    let mut response = match answer {
        Ok(answer) => answer.await?.map_into_boxed_body(),
        Err(response) => response,
    };
    let headers = response.headers_mut();
    headers.insert(request_id::HEADER, id.header());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let took = began.elapsed();
    log_cause(&response);
    let mut closes = exchange.has_unread_body();
    if let Some(state) = response.request().app_data::<Data<State>>() {
        // The client's next request opens a connection, to another server if a load balancer has noticed.
        closes |= state.is_draining.load(Ordering::Relaxed);
        state.http_metrics.record(&response, took);
        if let Some(caller) = legacy_caller(response.request()) {
            state.service.record_legacy_call(caller);
        }
        record_unreadable(&response, state);
        if state.config.access_log.shows(response.status()) {
            log_access(&response, took);
        }
    }
    if closes {
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    Ok(response.map_body(|_, body| ResponseBody::new(body, exchange)))
}

/// Records credentials that could not be parsed and so never reached the service.
fn record_unreadable(response: &ServiceResponse<BoxBody>, state: &State) {
    let request = response.request();
    let failure = response
        .response()
        .error()
        .and_then(|error| error.as_error::<ApiError>());
    let unreadable = failure.and_then(ApiError::unreadable);
    if let (Some((reason, challenge)), Some(channel)) = (unreadable, request.app_data::<Channel>()) {
        let kind = match challenge {
            Challenge::Basic => CredentialKind::Password,
            Challenge::ApiKey | Challenge::Either => CredentialKind::Value,
        };
        let client = request.extensions().get().and_then(|ClientAddress(address)| *address);
        state.service.refuse_unreadable(
            kind,
            reason,
            Origin {
                channel: *channel,
                client,
            },
        );
    }
}

/// Checks the size of the headers, and determines the client's address.
fn prepare(request: &ServiceRequest) -> Result<(), ApiError> {
    let request = request.request();
    let Some(state) = request.app_data::<Data<State>>() else {
        return Ok(());
    };
    check_header_size(request, state.config.limits.header_bytes)?;
    // A connection that the client has reset has no peer. No response reaches such a client anyway.
    let peer = connection::peer(request).ok_or_else(|| ApiError::bad_request("the connection was closed"))?;
    let client = state.config.proxies.client_address(peer, request.headers());
    request.extensions_mut().insert(ClientAddress(client));
    Ok(())
}

/// Checks the total size of the headers before routing, so that no route handles an oversized request.
fn check_header_size(request: &HttpRequest, max: usize) -> Result<(), ApiError> {
    let separators = ": \r\n".len();
    let uri = request.uri();
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let path_and_query = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let line = request.method().as_str().len() + authority + path_and_query;
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + separators);
    if line + headers.sum::<usize>() > max {
        return Err(ApiError::headers_too_large(max));
    }
    Ok(())
}

/// Refuses a request before routing, in the error format of its API.
fn refuse(request: ServiceRequest, failure: ApiError) -> ServiceResponse<BoxBody> {
    let Some(state) = request.app_data::<Data<State>>().cloned() else {
        return request.error_response(failure);
    };
    let path = request.path().strip_prefix(&state.config.base_path).unwrap_or_default();
    let group = ENDPOINTS.iter().find(|group| group.contains(path));
    match group.map_or(ErrorFormat::Message, |group| group.error_format) {
        ErrorFormat::Empty => request.error_response(failure.without_body()),
        ErrorFormat::Graphql => graphql::finish_response(request.error_response(failure)),
        ErrorFormat::Legacy => legacy::finish_response(request.error_response(failure), &state),
        ErrorFormat::Oauth => oauth::finish_response(request.error_response(failure)),
        ErrorFormat::Message => request.error_response(failure),
    }
}

/// Returns the caller to record, if the request used a legacy endpoint.
fn legacy_caller(request: &HttpRequest) -> Option<LegacyCaller> {
    let extensions = request.extensions();
    let LegacyPrefix(prefix) = extensions.get().or_else(|| request.app_data())?;
    let program = request.headers().get(header::USER_AGENT);
    Some(LegacyCaller {
        prefix: (*prefix).to_owned(),
        method: method_label(request.method()).to_owned(),
        actor: extensions.get().map(CallerIdentity::actor),
        client: extensions.get::<ClientAddress>()?.0.into(),
        user_agent: program
            .map(|value| normalize_user_agent(value.as_bytes()))
            .unwrap_or_default(),
    })
}

/// Logs the cause of a failed request, which the response does not contain.
fn log_cause<B>(response: &ServiceResponse<B>) {
    let error = response.response().error();
    if let Some(cause) = error.and_then(|error| error.as_error::<ApiError>()?.cause()) {
        log::error!("{}", error_chain(cause));
    }
}

fn log_access<B>(response: &ServiceResponse<B>, took: Duration) {
    let request = response.request();
    let extensions = request.extensions();
    let none: &dyn Display = &"-";
    let client = extensions.get().map_or(none, |client: &ClientAddress| client);
    let caller = extensions.get::<CallerIdentity>().map_or(none, |caller| caller);
    log::info!(
        target: ACCESS_LOG_TARGET,
        method = method_label(request.method()),
        route = RoutePattern::of(request).unwrap_or("-"),
        status = response.status().as_u16(),
        microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        client:% = client,
        caller:% = caller;
        "request"
    );
}
