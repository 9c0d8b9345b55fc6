//! Sign-in and sign-out.

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse,
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
    session::{SubmittedForm, program},
    text::fill,
};
use crate::{
    domain::caller::Call,
    http::{
        error::ApiError,
        extract::{Input, origin, query::read_query, state},
        page::html,
        request::CallerIdentity,
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
    name: String,
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
    let query: SignInQuery = read_query(request.query_string(), &[&["next", "over", "done"]])?;
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
    let key = match cookies::read_key(&request, cookies::SIGN_IN_FORM) {
        Some(key) => key,
        None => service.new_session_key()?,
    };
    let layout = Layout::new(&request, &key, None)?;
    let texts = layout.texts;
    let notice = match (query.done.as_deref(), query.over) {
        (Some("signed-out"), _) => Some(texts.done_signed_out),
        (Some("password-changed"), _) => Some(texts.done_password_changed),
        (_, Some(_)) => Some(texts.session_over),
        _ => None,
    };
    let path = format!("{}{SIGN_IN}", layout.base);
    let template = SignInPage {
        layout,
        next: query.next.unwrap_or_default(),
        name: String::new(),
        notice,
        refusal: None,
    };
    let mut response = render_page(&template)?;
    cookies::add_key(&mut response, &request, cookies::SIGN_IN_FORM, &path, &key);
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
    let (name, next) = (fields.take("name"), fields.take("next"));
    let origin = origin(&request)?;
    let service = &state(&request)?.service;
    let password = fields.take("password").into();
    let refused = match service.authenticate_admin(&name, password, origin).await {
        Ok(caller) => {
            let identity = CallerIdentity::of(&caller);
            let before = cookies::read_key(&request, cookies::SESSION);
            let key = service
                .begin_session(Call { caller, origin }, program(&request), before)
                .await?;
            request.extensions_mut().insert(identity);
            let mut response = see_other(&resolve_next(&layout.base, &next));
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
            let refusal = fill(texts.sign_in_throttled, [&seconds]);
            (StatusCode::TOO_MANY_REQUESTS, refusal, Some(seconds))
        }
        other => return Err(other.into()),
    };
    let template = SignInPage {
        layout,
        next,
        name,
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
