//! The sign-in, and the sign-out.

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse,
    cookie::{Cookie, time::Duration},
    dev::Payload,
    http::{
        StatusCode,
        header::{self, HeaderName},
    },
};
use askama::Template;
use futures_util::future::LocalBoxFuture;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::{
    POLICY,
    fields::Fields,
    frame::Frame,
    page, page_with, see_other,
    session::{COOKIE, Posted, key, with_key},
    text::fill,
};
use crate::{
    domain::caller::Call,
    http::{
        error::Failure,
        extract::{Body, origin, query::read_query, state},
        observe::CalledBy,
        page::html,
    },
    service::Error,
};

/// From where a browser was led to a page (Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The cookie in which a browser keeps the key of the form by which somebody signs in. It is none of a session: a browser that comes by
/// another site's link does not show that one, and must not lose it.
const FORM_COOKIE: &str = "tokenbridge_sign_in";
/// The path of the sign-in, below the console.
pub const SIGN_IN: &str = "/sign-in";
/// The page that somebody sees who has asked for no other, below the console.
pub const FIRST_PAGE: &str = "/tokens";

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    /// The page to see afterwards, below the console.
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

/// `GET /console/sign-in`: the form. Somebody who has signed in is led on.
pub async fn form(request: HttpRequest) -> Result<HttpResponse, Failure> {
    let query: SignInQuery = read_query(&request, &[&["next", "over", "done"]])?;
    if request
        .headers()
        .get(FETCH_SITE)
        .is_some_and(|site| site == "cross-site")
    {
        return Ok(ask_again());
    }
    let service = &state(&request)?.service;
    if let Some(key) = key(&request, COOKIE)
        && service.resume_session(&key).await?.is_some()
    {
        let base = Frame::of_nobody(&request)?.base;
        return Ok(see_other(&path_to(&base, query.next.as_deref().unwrap_or_default())));
    }
    let key = match key(&request, FORM_COOKIE) {
        Some(key) => key,
        None => service.new_session_key()?,
    };
    let frame = Frame::new(&request, &key, None)?;
    let texts = frame.texts;
    let notice = match (query.done.as_deref(), query.over) {
        (Some("signed-out"), _) => Some(texts.done_signed_out),
        (Some("password-changed"), _) => Some(texts.done_password_changed),
        (_, Some(_)) => Some(texts.session_over),
        _ => None,
    };
    let path = format!("{}{SIGN_IN}", frame.base);
    let template = SignInPage {
        frame,
        next: query.next.unwrap_or_default(),
        name: String::new(),
        notice,
        refusal: None,
    };
    Ok(with_key(page(&template)?, &request, FORM_COOKIE, &path, &key))
}

/// A page that asks for itself again. A browser that was led here by another site's link shows no session (`SameSite=Strict`); it does when
/// it comes from a page of this one.
fn ask_again() -> HttpResponse {
    let mut response = html(String::new(), POLICY);
    response
        .headers_mut()
        .insert(header::REFRESH, header::HeaderValue::from_static("0"));
    response
}

/// The form of somebody who has not signed in.
pub struct Anonymous(Fields);

impl FromRequest for Anonymous {
    type Error = Failure;
    type Future = LocalBoxFuture<'static, Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move { Ok(Self(Fields::read(&request, payload).await?)) })
    }
}

/// `POST /console/sign-in`: begins a session, with a key that no page before it has had, and ends the one that the browser had.
pub async fn sign_in(request: HttpRequest, Anonymous(mut fields): Anonymous) -> Result<HttpResponse, Failure> {
    let of_form = key(&request, FORM_COOKIE).ok_or_else(Fields::refusal)?;
    let frame = Frame::new(&request, &of_form, None)?;
    fields.check(&of_form)?;
    let (name, next) = (fields.take("name"), fields.take("next"));
    let origin = origin(&request)?;
    let service = &state(&request)?.service;
    let password = fields.take("password").into();
    let refused = match service.authenticate_admin(&name, password, origin).await {
        Ok(caller) => {
            let called_by = CalledBy::of(&caller);
            let before = key(&request, COOKIE);
            let key = service.begin_session(Call { caller, origin }, before).await?;
            request.extensions_mut().insert(called_by);
            let response = see_other(&path_to(&frame.base, &next));
            return Ok(with_key(response, &request, COOKIE, &frame.base, &key));
        }
        Err(error) => error,
    };
    let texts = frame.texts;
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
        frame,
        next,
        name,
        notice: None,
        refusal: Some(refusal),
    };
    let mut response = page_with(status, &template)?;
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

/// The path of a page below the console; that of the first one if there is none such.
fn path_to(base: &str, next: &str) -> String {
    let next = if is_below(next) { next } else { FIRST_PAGE };
    format!("{base}{next}")
}

/// Whether a path stays where it is put behind another, as browsers read it (WHATWG URL, section 4.4): they take backslashes for slashes,
/// and `%2e` for a dot.
fn is_below(next: &str) -> bool {
    let path = next.split(['?', '#']).next().unwrap_or_default();
    let leads_up = |segment: &str| percent_decode_str(segment).eq(*b"..");
    next.starts_with('/') && next.bytes().all(|byte| byte.is_ascii_graphic()) && !path.split(['/', '\\']).any(leads_up)
}

/// `POST /console/sign-out`: ends the session.
pub async fn sign_out(request: HttpRequest, Posted { who, .. }: Posted) -> Result<HttpResponse, Failure> {
    state(&request)?.service.end_session(&who.key).await?;
    let mut response = see_other(&format!("{}/sign-in?done=signed-out", who.frame.base));
    let mut cookie = Cookie::build(COOKIE, "").path(who.frame.base).http_only(true).finish();
    cookie.set_max_age(Duration::ZERO);
    // A response takes every cookie whose text is one.
    let _ = response.add_cookie(&cookie);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_below_the_console() {
        for next in [
            "/tokens",
            "/audit?actor=a%20b&door=..",
            "/tokens/..x",
            "/x/./y",
            "//evil.example",
        ] {
            assert_eq!(path_to("/console", next), format!("/console{next}"));
        }
        for next in [
            "",
            "tokens",
            "https://evil.example",
            "/../docs",
            "/tokens/%2e%2E/../x",
            "/..\\docs",
            "/.%2e?x",
            "/..#x",
            "/.\t./docs",
            "/a b",
            "/\r\nx: y",
            "/\u{e4}",
        ] {
            assert_eq!(path_to("/console", next), "/console/tokens", "{next:?}");
        }
    }
}
