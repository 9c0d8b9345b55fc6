//! Who has signed in at the console.

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite},
    dev::Payload,
    http::{Method, header::HeaderValue},
};
use futures_util::future::LocalBoxFuture;

use super::{
    fields::Fields,
    frame::{Frame, cookies, query_of},
    sign_in::{FIRST_PAGE, SIGN_IN},
};
use crate::{
    domain::{caller::Call, session::SessionKey},
    http::{
        error::Failure,
        extract::{Body, origin, site::is_secure, state},
        observe::CalledBy,
    },
};

/// The cookie in which a browser keeps the key of its session.
pub const COOKIE: &str = "tokenbridge_session";

/// An admin who has signed in, and what is around their page.
pub struct SignedIn {
    /// Who calls, and from where.
    pub call: Call,
    /// The key of their session.
    pub key: SessionKey,
    /// What is around the page.
    pub frame: Frame,
}

/// A form that such an admin has sent.
pub struct Posted {
    /// Who.
    pub who: SignedIn,
    /// What.
    pub fields: Fields,
}

impl FromRequest for SignedIn {
    type Error = Failure;
    type Future = LocalBoxFuture<'static, Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { signed_in(&request).await })
    }
}

impl FromRequest for Posted {
    type Error = Failure;
    type Future = LocalBoxFuture<'static, Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let who = signed_in(&request).await?;
            let fields = Fields::read(&request, payload).await?;
            fields.check(&who.key)?;
            Ok(Self { who, fields })
        })
    }
}

async fn signed_in(request: &HttpRequest) -> Result<SignedIn, Failure> {
    let origin = origin(request)?;
    let caller = match key(request, COOKIE) {
        Some(key) => state(request)?
            .service
            .resume_session(&key)
            .await?
            .map(|caller| (caller, key)),
        None => None,
    };
    let Some((caller, key)) = caller else {
        return Err(Failure::see_other(sign_in_path(request)?));
    };
    let called_by = CalledBy::of(&caller);
    let frame = Frame::new(request, &key, called_by.admin().map(ToOwned::to_owned))?;
    request.extensions_mut().insert(called_by);
    let call = Call { caller, origin };
    Ok(SignedIn { call, key, frame })
}

/// The key that a browser keeps in that cookie.
pub fn key(request: &HttpRequest, cookie: &str) -> Option<SessionKey> {
    cookies(request, cookie).find_map(SessionKey::parse)
}

/// Where somebody signs in who wanted to see a page, and then is led to it.
///
/// # Errors
/// When the route lacks what it needs.
pub fn sign_in_path(request: &HttpRequest) -> Result<HeaderValue, Failure> {
    let Frame { base, path, .. } = Frame::of_nobody(request)?;
    let query = request.query_string();
    let asked_for = match (*request.method() == Method::GET, query) {
        (false, _) => FIRST_PAGE.to_owned(),
        (true, "") => path,
        (true, query) => format!("{path}?{query}"),
    };
    let next = if asked_for == FIRST_PAGE { "" } else { &asked_for };
    let over = if key(request, COOKIE).is_some() { "yes" } else { "" };
    let location = format!("{base}{SIGN_IN}{}", query_of(&[("next", next), ("over", over)]));
    Ok(HeaderValue::from_str(&location)?)
}

/// A response that has the browser keep a key in a cookie, which no script and no other site's page can use.
pub fn with_key(
    mut response: HttpResponse,
    request: &HttpRequest,
    cookie: &'static str,
    path: &str,
    key: &SessionKey,
) -> HttpResponse {
    let cookie = Cookie::build(cookie, key.expose())
        .path(path)
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(is_secure(request))
        .finish();
    // A response takes every cookie whose text is one.
    let _ = response.add_cookie(&cookie);
    response
}
