//! The console at `/console`, where admins manage tokens in a browser. Pages are rendered on the
//! server. Their only script is part of tokenbridge, and they work without it.

mod account;
mod admins;
mod audit;
mod chart;
mod cookies;
mod display_time;
mod fields;
mod language;
mod layout;
mod legacy;
mod overview;
mod own_password;
mod paths;
mod permissions;
mod program;
mod roles;
mod session;
mod sign_in;
mod text;
mod text_problems;
mod texts;
mod theme;
mod token_label;
mod tokens;

use std::sync::LazyLock;

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse, Scope,
    body::{BoxBody, MessageBody},
    dev::{HttpServiceFactory, ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
    middleware::{Compress, Next, from_fn},
    web,
};
use askama::Template;

use super::{
    asset::{Asset, Assets},
    error::ApiError,
    extract::state,
    page::html,
    request_id,
    routing::{get, not_found, post, resource},
};
use crate::{domain::actor::Channel, service};
use layout::Layout;
use session::HeldForm;
use text::fill;
use texts::overview::{self as overview_texts, OverviewTexts};

/// The files of the pages.
static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    Assets::new(vec![
        Asset::new("console.css", include_bytes!("console/console.css")),
        Asset::new("console.js", include_bytes!("console/console.js")),
    ])
});

/// The content security policy of the pages (CSP 3): scripts, styles, images, and targets of forms and of scripts' requests
/// only from this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
    connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Returns the routes of the console.
pub fn routes() -> impl HttpServiceFactory {
    web::scope("/console")
        .app_data(Channel::Console)
        .wrap(from_fn(render_errors))
        .wrap(Compress::default())
        .service(resource("", [get(overview::page)]))
        .service(resource("/sign-in", [get(sign_in::show_form), post(sign_in::sign_in)]))
        .service(resource("/sign-out", [post(sign_in::sign_out)]))
        .service(resource("/session", [get(session::show_remaining_time)]))
        .service(token_routes())
        .service(resource("/admins", [get(admins::list), post(admins::add)]))
        .service(resource(
            "/admins/password",
            [get(admins::password_form), post(admins::change_password)],
        ))
        .service(resource(
            "/admins/role",
            [get(admins::role_form), post(admins::change_role)],
        ))
        .service(resource(
            "/admins/remove",
            [get(admins::removal_form), post(admins::remove)],
        ))
        .service(resource("/audit", [get(audit::page)]))
        .service(resource("/audit/{file}", [get(audit::download)]))
        .service(resource("/legacy", [get(legacy::page)]))
        .service(resource("/legacy/callers.csv", [get(legacy::download)]))
        .service(account_routes())
        .service(resource("/assets/{file}", [get(asset)]))
        .default_service(web::to(not_found))
}

fn account_routes() -> Scope {
    web::scope("/account")
        .service(resource("", [get(account::page)]))
        .service(resource("/password", [post(account::change_password)]))
        .service(resource("/sessions", [post(account::end_other_sessions)]))
}

fn token_routes() -> Scope {
    web::scope("/tokens")
        .service(resource("", [get(tokens::list::list)]))
        .service(resource("/search", [post(tokens::search::search)]))
        .service(resource("/selection", [post(tokens::selection::confirm)]))
        .service(resource("/selection/change", [post(tokens::selection::change)]))
        .service(resource(
            "/new",
            [get(tokens::create::show_form), post(tokens::create::create)],
        ))
        .service(resource("/{id}", [get(tokens::show::show)]))
        .service(resource(
            "/{id}/edit",
            [get(tokens::edit::show_form), post(tokens::edit::update)],
        ))
        .service(resource("/{id}/end-grace", [post(tokens::grace::end)]))
        .service(resource(
            "/{id}/rotate",
            [get(tokens::rotate::show_form), post(tokens::rotate::rotate)],
        ))
        .service(resource("/{id}/disable", [post(tokens::disable::disable)]))
        .service(resource("/{id}/enable", [post(tokens::disable::enable)]))
        .service(resource(
            "/{id}/delete",
            [get(tokens::delete::show_form), post(tokens::delete::delete)],
        ))
}

/// `GET /`: redirects to the console.
pub async fn redirect_to_console(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let base_path = &state(&request)?.config.base_path;
    Ok(see_other(&format!("{base_path}/console")))
}

/// `GET /console/assets/{file}`: returns a style sheet, script or image.
async fn asset(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    ASSETS.find(&request)
}

/// Redirects to another page with 303, which the browser requests with GET.
fn see_other(location: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, location))
        .finish()
}

/// Renders a page.
fn render_page(template: &impl Template) -> Result<HttpResponse, ApiError> {
    render_page_with_status(StatusCode::OK, template)
}

/// Renders a page with this status.
fn render_page_with_status(status: StatusCode, template: &impl Template) -> Result<HttpResponse, ApiError> {
    let mut response = html(render(template)?, POLICY);
    *response.status_mut() = status;
    Ok(response)
}

fn render(template: &impl Template) -> Result<String, ApiError> {
    let rendered = template.render();
    rendered.map_err(|error| service::Error::Internal(error.into()).into())
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ErrorPage<'f> {
    layout: Layout,
    texts: &'static OverviewTexts,
    title: &'static str,
    is_missing: bool,
    message: String,
    /// The server's message, in English.
    detail: Option<&'f str>,
}

/// Middleware that renders error responses as pages, and redirects requests without a session to
/// the sign-in page. If the query contains a language or a theme, stores it in a cookie and redirects to
/// the page without it.
async fn render_errors(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if let Some(response) = layout::store_preferences(request.request()) {
        return Ok(request.into_response(response));
    }
    let mut response = next.call(request).await?.map_into_boxed_body();
    let error = response.response().error();
    let Some(failure) = error.and_then(|error| error.as_error::<ApiError>()) else {
        return Ok(response);
    };
    match response.status() {
        StatusCode::SEE_OTHER => {
            let held = response.request().extensions_mut().remove::<HeldForm>();
            let Some(held) = held else { return Ok(response) };
            let page = sign_in::show_form_with(response.request(), held)?;
            return Ok(response.into_response(page));
        }
        StatusCode::UNAUTHORIZED => {
            let location = session::sign_in_path(response.request())?;
            *response.response_mut().status_mut() = StatusCode::SEE_OTHER;
            response.headers_mut().remove(header::WWW_AUTHENTICATE);
            response.headers_mut().insert(header::LOCATION, location);
            return Ok(response.map_body(|_, _| BoxBody::new("")));
        }
        _ => {}
    }
    let text = render(&error_page(response.request(), response.status(), failure).await?)?;
    let headers = response.headers_mut();
    let of_page = html(String::new(), POLICY);
    for name in [
        header::CONTENT_TYPE,
        header::CONTENT_SECURITY_POLICY,
        header::REFERRER_POLICY,
    ] {
        if let Some(value) = of_page.headers().get(&name) {
            headers.insert(name, HeaderValue::clone(value));
        }
    }
    Ok(response.map_body(|_, _| BoxBody::new(text)))
}

async fn error_page<'f>(
    request: &HttpRequest,
    status: StatusCode,
    failure: &'f ApiError,
) -> Result<ErrorPage<'f>, ApiError> {
    let is_missing = status == StatusCode::NOT_FOUND;
    let layout = session::error_layout(request, status != StatusCode::SERVICE_UNAVAILABLE).await?;
    let (t, texts) = (
        layout.texts,
        layout
            .language
            .choose(&overview_texts::ENGLISH, &overview_texts::KOREAN),
    );
    let (title, message, detail) = match status {
        StatusCode::FORBIDDEN => match failure.denied() {
            Some(denied) => (texts.not_allowed, roles::explain(denied, &layout), None),
            None => (texts.expired_form, t.problem_form.to_owned(), None),
        },
        StatusCode::NOT_FOUND => (texts.not_found, texts.not_found_lead.to_owned(), None),
        StatusCode::SERVICE_UNAVAILABLE if request.method().is_safe() => {
            (texts.unavailable, t.problem_unavailable.to_owned(), None)
        }
        // The server did not wait for the result, so the change may have been made.
        StatusCode::SERVICE_UNAVAILABLE => (texts.unavailable, t.problem_unanswered.to_owned(), None),
        StatusCode::INTERNAL_SERVER_ERROR => {
            let message = fill(t.problem_internal, [&request_id::current()]);
            (texts.internal, message, None)
        }
        status => {
            let message = match status {
                StatusCode::METHOD_NOT_ALLOWED => t.problem_method,
                StatusCode::PAYLOAD_TOO_LARGE => t.problem_too_large,
                StatusCode::TOO_MANY_REQUESTS => t.problem_too_many,
                StatusCode::REQUEST_TIMEOUT => t.problem_unavailable,
                _ => t.problem_request,
            };
            (t.problem, message.to_owned(), Some(failure.message()))
        }
    };
    Ok(ErrorPage {
        layout,
        texts,
        title,
        is_missing,
        message,
        detail,
    })
}
