//! Extractors for console sessions and submitted forms.

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse,
    dev::Payload,
    http::{
        Method,
        header::{self, HeaderValue},
    },
};
use futures_util::future::LocalBoxFuture;

use super::{
    cookies,
    fields::FormFields,
    layout::Layout,
    paths::{FIRST_PAGE, SIGN_IN, TOKENS, build_query},
};
use crate::{
    domain::{
        authorization::{Operation, authorize},
        caller::{Call, Caller},
        legacy_usage::normalize_user_agent,
        session::SessionKey,
        value::find_value,
    },
    http::{
        error::ApiError,
        extract::{Input, origin, site::is_same_origin, state},
        request::CallerIdentity,
    },
    service::Error,
};

/// The session of a signed-in admin, and the frame of the page.
pub struct ConsoleSession {
    /// The caller and the origin.
    pub call: Call,
    /// The session key.
    pub key: SessionKey,
    /// The frame of the page.
    pub layout: Layout,
}

/// A form submitted by a signed-in admin.
pub struct SubmittedForm {
    /// The session.
    pub session: ConsoleSession,
    /// The fields.
    pub fields: FormFields,
}

impl FromRequest for ConsoleSession {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { authenticate_session(&request).await })
    }
}

impl FromRequest for SubmittedForm {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let session = authenticate_session(&request).await?;
            let fields = FormFields::read(&request, &mut payload).await?;
            fields.check(&session.key)?;
            Ok(Self { session, fields })
        })
    }
}

/// The session of a request, among its extensions.
#[derive(Clone)]
struct SignedIn {
    key: SessionKey,
    caller: Caller,
}

/// Returns the frame of an error page, with the navigation if the visitor is signed in. `may_ask` is
/// `true` if the store may be asked for the session of a request that was refused before it was
/// authenticated.
///
/// # Errors
/// 500 if the route lacks the application state.
pub async fn error_layout(request: &HttpRequest, may_ask: bool) -> Result<Layout, ApiError> {
    let known = request.extensions().get::<SignedIn>().cloned();
    let found = match (known, cookies::read_key(request, cookies::SESSION)) {
        (Some(signed_in), _) => Some(signed_in),
        (None, Some(key)) if may_ask => {
            let caller = state(request)?.service.resume_session(&key).await.ok().flatten();
            caller.map(|caller| SignedIn { key, caller })
        }
        (None, _) => None,
    };
    match found {
        Some(SignedIn { key, caller }) => Layout::new(request, &key, Some(&caller)),
        None => Layout::anonymous(request),
    }
}

/// A form whose contents outlive its session: they are shown again after the next sign-in.
pub struct ResumableForm {
    /// The session.
    pub session: ConsoleSession,
    /// The fields.
    pub fields: FormFields,
    /// `false` if the form was rendered in an earlier session of this browser. It must be shown again, not executed.
    pub is_current: bool,
}

/// The contents of a form that was submitted after its session had ended, for the page of the sign-in.
pub struct HeldForm {
    /// The path of the form's page below the console.
    pub page: String,
    /// The encoded fields.
    pub fields: String,
}

impl FromRequest for ResumableForm {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let Some(session) = find_session(&request).await? else {
                hold_form(&request, &mut payload).await?;
                return Err(ApiError::see_other(sign_in_path(&request)?));
            };
            let fields = FormFields::read(&request, &mut payload).await?;
            let is_current = fields.check(&session.key).is_ok();
            // A page of another origin must not fill in a form, either.
            if !is_current && !is_same_origin(&request) {
                return Err(FormFields::refusal());
            }
            Ok(Self {
                session,
                fields,
                is_current,
            })
        })
    }
}

/// Keeps the contents of a form if it was rendered for the session whose key the browser still has. Contents from
/// elsewhere are dropped: an admin who signs in would find a form that another site has filled in.
async fn hold_form(request: &HttpRequest, payload: &mut Payload) -> Result<(), ApiError> {
    let Some(ended) = cookies::read_key(request, cookies::SESSION) else {
        return Ok(());
    };
    let fields = FormFields::read(request, payload).await?;
    if fields.check(&ended).is_ok() {
        let held = HeldForm {
            page: Layout::anonymous(request)?.path,
            fields: fields.encode(),
        };
        request.extensions_mut().insert(held);
    }
    Ok(())
}

async fn authenticate_session(request: &HttpRequest) -> Result<ConsoleSession, ApiError> {
    match find_session(request).await? {
        Some(session) => Ok(session),
        None => Err(ApiError::see_other(sign_in_path(request)?)),
    }
}

async fn find_session(request: &HttpRequest) -> Result<Option<ConsoleSession>, ApiError> {
    let Some(key) = cookies::read_key(request, cookies::SESSION) else {
        return Ok(None);
    };
    let Some(caller) = state(request)?.service.resume_session(&key).await? else {
        return Ok(None);
    };
    ConsoleSession::new(request, key, caller).map(Some)
}

impl ConsoleSession {
    /// Creates the session of an authenticated admin.
    ///
    /// # Errors
    /// 500 if the route lacks the application state.
    pub fn new(request: &HttpRequest, key: SessionKey, caller: Caller) -> Result<Self, ApiError> {
        let layout = Layout::new(request, &key, Some(&caller))?;
        request.extensions_mut().insert(CallerIdentity::of(&caller));
        request.extensions_mut().insert(SignedIn {
            key: key.clone(),
            caller: caller.clone(),
        });
        let origin = origin(request)?;
        let call = Call { caller, origin };
        Ok(Self { call, key, layout })
    }
}

/// `GET /console/session`: returns the number of seconds until the session ends, which this request prolongs.
pub async fn show_remaining_time(ConsoleSession { layout, .. }: ConsoleSession) -> HttpResponse {
    let seconds = layout.session_seconds.unwrap_or_default();
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("text/plain; charset=utf-8")
        .body(seconds.to_string())
}

/// Returns the program of a visitor: the user agent, or an empty text.
pub fn program(request: &HttpRequest) -> String {
    let sent = request.headers().get(header::USER_AGENT);
    sent.map(|sent| normalize_user_agent(sent.as_bytes()))
        .unwrap_or_default()
}

/// Checks that the caller may do what a form is for, before it is filled in. The service checks it
/// again.
///
/// # Errors
/// 403 if the caller may not.
pub fn require(call: &Call, operation: Operation<'_>) -> Result<(), ApiError> {
    authorize(&call.caller, operation, None).map_err(|denied| Error::from(denied).into())
}

/// Returns the path of the sign-in page, with the requested page as the target after the sign-in.
///
/// # Errors
/// 500 if the route lacks the application state.
pub fn sign_in_path(request: &HttpRequest) -> Result<HeaderValue, ApiError> {
    let Layout { base, path, .. } = Layout::anonymous(request)?;
    let query = request.query_string();
    let token = request.match_info().get("id");
    let asked_for = match (*request.method() == Method::GET, query) {
        // Not every form has a page at its own path.
        (false, _) => token.map_or_else(|| FIRST_PAGE.to_owned(), |id| format!("{TOKENS}/{id}")),
        (true, "") => path,
        // A value in a hand-written link is not copied into others.
        (true, query) if find_value(query).is_some() => FIRST_PAGE.to_owned(),
        (true, query) => format!("{path}?{query}"),
    };
    let next = if asked_for == FIRST_PAGE { "" } else { &asked_for };
    let over = if cookies::read_key(request, cookies::SESSION).is_some() {
        "yes"
    } else {
        ""
    };
    let location = format!("{base}{SIGN_IN}{}", build_query(&[("next", next), ("over", over)]));
    Ok(HeaderValue::from_str(&location)?)
}
