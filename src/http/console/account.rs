//! The account page of the signed-in admin: the password, the sessions, the language, and the theme.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use askama::Template;
use serde::Deserialize;

use super::{
    cookies,
    display_time::DisplayTime,
    language::Language,
    layout::{Layout, language_links, theme_links},
    own_password::{new_password, verify},
    paths::SIGN_IN,
    program::describe_program,
    render_page_with_status,
    roles::describe_role,
    see_other,
    session::{ConsoleSession, SubmittedForm, program},
    texts::account::{self, AccountTexts},
    theme::Theme,
};
use crate::{
    domain::{
        admin::Admin,
        caller::{Call, Caller},
        session::SessionInfo,
    },
    http::{
        error::ApiError,
        extract::{query::parse, state},
    },
    service::Error,
};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    layout: Layout,
    texts: &'static AccountTexts,
    name: String,
    role: (&'static str, &'static str),
    notice: Option<&'static str>,
    refusals: Vec<String>,
    sessions: Vec<SessionRow>,
    has_others: bool,
    languages: [(Language, String); 2],
    themes: [(Theme, String); 3],
}

struct SessionRow {
    program: String,
    user_agent: String,
    client: String,
    began: DisplayTime,
    seen: DisplayTime,
    is_current: bool,
}

impl SessionRow {
    fn new(session: SessionInfo, layout: &Layout, texts: &AccountTexts) -> Self {
        let SessionInfo {
            begun_at,
            seen_at,
            client,
            user_agent,
            is_current,
        } = session;
        Self {
            program: Some(describe_program(&user_agent, texts.program_on))
                .filter(|program| !program.is_empty())
                .unwrap_or_else(|| texts.unknown_program.to_owned()),
            user_agent,
            client: client.map_or_else(|| texts.unknown_address.to_owned(), |address| address.to_string()),
            began: layout.display_time(begun_at),
            seen: layout.display_time(if is_current { layout.now } else { seen_at }),
            is_current,
        }
    }
}

#[derive(Deserialize)]
struct AccountQuery {
    done: Option<String>,
}

/// `GET /console/account`: shows the account.
pub async fn page(request: HttpRequest, session: ConsoleSession) -> Result<HttpResponse, ApiError> {
    let query: AccountQuery = parse(request.query_string()).map_err(ApiError::bad_request)?;
    let texts = texts(&session.layout);
    let notice = match query.done.as_deref() {
        Some("password-changed") => Some(texts.done_own_password),
        Some("others-ended") => Some(texts.done_others_ended),
        _ => None,
    };
    render(&request, session, StatusCode::OK, notice, Vec::new()).await
}

const fn texts(layout: &Layout) -> &'static AccountTexts {
    layout.language.choose(&account::ENGLISH, &account::KOREAN)
}

fn admin(call: &Call) -> Result<Admin, ApiError> {
    match &call.caller {
        Caller::Admin(admin) => Ok(admin.clone()),
        Caller::Token(..) | Caller::Holder(..) | Caller::CommandLine | Caller::LegacyLogin => {
            Err(Error::NotFound("account").into())
        }
    }
}

async fn render(
    request: &HttpRequest,
    ConsoleSession { call, key, layout }: ConsoleSession,
    status: StatusCode,
    notice: Option<&'static str>,
    refusals: Vec<String>,
) -> Result<HttpResponse, ApiError> {
    let Admin { name, role, .. } = admin(&call)?;
    let sessions = state(request)?.service.list_sessions(&call, &key).await?;
    let texts = texts(&layout);
    let path = format!("{}/account", layout.base);
    let page = AccountPage {
        texts,
        name: name.as_str().to_owned(),
        role: describe_role(role, layout.texts),
        notice,
        refusals,
        has_others: sessions.iter().any(|session| !session.is_current),
        sessions: sessions
            .into_iter()
            .map(|session| SessionRow::new(session, &layout, texts))
            .collect(),
        languages: language_links(&path),
        themes: theme_links(&path),
        layout,
    };
    render_page_with_status(status, &page)
}

/// `POST /console/account/password`: changes the password, and ends all other sessions.
pub async fn change_password(
    request: HttpRequest,
    SubmittedForm { session, mut fields }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, key, layout } = &session;
    let password = match new_password(&mut fields, layout) {
        Ok(password) => password,
        Err(wrong) => return render(&request, session, StatusCode::BAD_REQUEST, None, vec![wrong.to_owned()]).await,
    };
    if let Err(refusal) = verify(&request, call, &mut fields, layout).await? {
        return render(&request, session, StatusCode::FORBIDDEN, None, vec![refusal]).await;
    }
    let (service, name, origin) = (&state(&request)?.service, admin(call)?.name, call.origin);
    let typed = password.expose_typed().to_owned().into();
    service.change_password(call.clone(), name.clone(), password).await?;
    // All sessions have ended. This browser gets a new one.
    let Ok(caller) = service.authenticate_admin(name.as_str(), typed, origin).await else {
        return Ok(see_other(&format!("{}{SIGN_IN}?done=password-changed", layout.base)));
    };
    let fresh = service
        .begin_session(Call { caller, origin }, program(&request), Some(key.clone()))
        .await?;
    let mut response = see_other(&format!("{}/account?done=password-changed", layout.base));
    cookies::add_key(&mut response, &request, cookies::SESSION, &layout.base, &fresh);
    Ok(response)
}

/// `POST /console/account/sessions`: ends all other sessions.
pub async fn end_other_sessions(
    request: HttpRequest,
    SubmittedForm { session, .. }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, key, layout } = session;
    state(&request)?.service.end_other_sessions(call, &key).await?;
    Ok(see_other(&format!("{}/account?done=others-ended", layout.base)))
}
