//! Sign-in and sign-out.

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::{
        StatusCode,
        header::{self, HeaderName},
    },
};
use askama::Template;
use futures_util::future::LocalBoxFuture;
use serde::Deserialize;

use super::{
    POLICY, cookies,
    fields::FormFields,
    layout::Layout,
    paths::{SIGN_IN, resolve_next},
    render_page, render_page_with_status, see_other,
    session::{ConsoleSession, HeldForm, SubmittedForm, program},
    text::count,
    tokens,
};
use crate::{
    domain::{caller::Call, session::SessionKey},
    http::{
        error::ApiError,
        extract::{Input, origin, query::parse, state},
        page::html,
    },
    service::Error,
};

/// The relation between the site that links to a page and this site (Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    layout: Layout,
    /// The target after the sign-in, below the console.
    next: String,
    /// The encoded fields of a form at that target, which is shown again after the sign-in.
    held: String,
    name: String,
    /// What was done.
    success: Option<&'static str>,
    /// Why the page is shown.
    notice: Option<&'static str>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct SignInQuery {
    next: Option<String>,
    over: Option<String>,
    done: Option<String>,
}

/// `GET /console/sign-in`: shows the form. Redirects if the browser has a session.
pub async fn show_form(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let query: SignInQuery = parse(request.query_string()).map_err(ApiError::bad_request)?;
    if request
        .headers()
        .get(FETCH_SITE)
        .is_some_and(|site| site == "cross-site")
    {
        return Ok(reload_page());
    }
    let service = &state(&request)?.service;
    if let Some(key) = cookies::read_key(&request, cookies::SESSION)
        && service.resume_session(&key).await?.is_some()
    {
        let base = Layout::anonymous(&request)?.base;
        return Ok(see_other(&resolve_next(
            &base,
            query.next.as_deref().unwrap_or_default(),
        )));
    }
    let (layout, key) = form_layout(&request)?;
    let texts = layout.texts;
    let success = match query.done.as_deref() {
        Some("signed-out") => Some(texts.done_signed_out),
        Some("password-changed") => Some(texts.done_password_changed),
        _ => None,
    };
    let path = layout.base.clone();
    let template = SignInPage {
        layout,
        next: query.next.unwrap_or_default(),
        held: String::new(),
        name: String::new(),
        success,
        notice: query.over.map(|_| texts.session_over).filter(|_| success.is_none()),
        refusal: None,
    };
    let mut response = render_page(&template)?;
    cookies::add_key(&mut response, &request, cookies::SIGN_IN_FORM, &path, &key);
    Ok(response)
}

/// Returns the frame of the page with the form, and the key of the form. All pages of a browser share it.
fn form_layout(request: &HttpRequest) -> Result<(Layout, SessionKey), ApiError> {
    let key = match cookies::read_key(request, cookies::SIGN_IN_FORM) {
        Some(key) => key,
        None => state(request)?.service.new_session_key()?,
    };
    Ok((Layout::new(request, &key, None)?, key))
}

/// Shows the form in response to another form that was submitted after its session had ended. The page carries the
/// contents of that form in a hidden field.
///
/// # Errors
/// 500 if the template fails.
pub fn show_form_with(request: &HttpRequest, held: HeldForm) -> Result<HttpResponse, ApiError> {
    let (layout, key) = form_layout(request)?;
    let path = layout.base.clone();
    let template = SignInPage {
        success: None,
        notice: Some(layout.texts.session_over),
        layout,
        next: held.page,
        held: held.fields,
        name: String::new(),
        refusal: None,
    };
    let mut response = render_page_with_status(StatusCode::FORBIDDEN, &template)?;
    cookies::add_key(&mut response, request, cookies::SIGN_IN_FORM, &path, &key);
    Ok(response)
}

/// Returns a page that reloads itself. A browser that follows a link of another site does not send
/// the session cookie (`SameSite=Strict`), but a reload from our own page does.
fn reload_page() -> HttpResponse {
    let mut response = html(String::new(), POLICY);
    response
        .headers_mut()
        .insert(header::REFRESH, header::HeaderValue::from_static("0"));
    response
}

/// A form submitted by an unauthenticated visitor.
pub struct AnonymousForm(FormFields);

impl FromRequest for AnonymousForm {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move { Ok(Self(FormFields::read(&request, &mut payload).await?)) })
    }
}

/// `POST /console/sign-in`: starts a session with a new key, and ends the browser's previous
/// session.
pub async fn sign_in(request: HttpRequest, AnonymousForm(mut fields): AnonymousForm) -> Result<HttpResponse, ApiError> {
    let of_form = cookies::read_key(&request, cookies::SIGN_IN_FORM).ok_or_else(FormFields::refusal)?;
    let layout = Layout::new(&request, &of_form, None)?;
    fields.check(&of_form)?;
    let (name, next, held) = (fields.take("name"), fields.take("next"), fields.take("held"));
    let origin = origin(&request)?;
    let service = &state(&request)?.service;
    let password = fields.take("password").into();
    let refused = match service.authenticate_admin(&name, password, origin).await {
        Ok(caller) => {
            let before = cookies::read_key(&request, cookies::SESSION);
            let call = Call {
                caller: caller.clone(),
                origin,
            };
            let key = service.begin_session(call, program(&request), before).await?;
            let session = ConsoleSession::new(&request, key.clone(), caller)?;
            let resumed = if held.is_empty() {
                None
            } else {
                tokens::resume(&request, session, &next, &FormFields::parse(&held)).await
            };
            let mut response = resumed.unwrap_or_else(|| see_other(&resolve_next(&layout.base, &next)));
            cookies::add_key(&mut response, &request, cookies::SESSION, &layout.base, &key);
            return Ok(response);
        }
        Err(error) => error,
    };
    let texts = layout.texts;
    let (status, refusal, wait) = match refused {
        Error::Unauthenticated(_) => (StatusCode::FORBIDDEN, texts.sign_in_wrong.to_owned(), None),
        Error::Throttled { retry_after } => {
            let seconds = retry_after.as_secs() + 1;
            let refusal = count(texts.sign_in_throttled, seconds);
            (StatusCode::TOO_MANY_REQUESTS, refusal, Some(seconds))
        }
        other => return Err(other.into()),
    };
    let template = SignInPage {
        layout,
        next,
        held,
        name,
        success: None,
        notice: None,
        refusal: Some(refusal),
    };
    let mut response = render_page_with_status(status, &template)?;
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

/// `POST /console/sign-out`: ends the session.
pub async fn sign_out(
    request: HttpRequest,
    SubmittedForm { session, .. }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    state(&request)?.service.end_session(&session.key).await?;
    let mut response = see_other(&format!("{}{SIGN_IN}?done=signed-out", session.layout.base));
    cookies::remove_session(&mut response, &session.layout.base);
    Ok(response)
}
