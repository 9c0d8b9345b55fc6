//! The pages to list, add and remove admins, and to change passwords.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use askama::Template;
use serde::Deserialize;

use super::{
    display_time::DisplayTime,
    layout::Layout,
    own_password::{new_password, verify},
    paths::{FIRST_PAGE, SIGN_IN, build_query},
    render_page, render_page_with_status,
    roles::{RoleChoice, describe_role},
    see_other,
    session::{ConsoleSession, SubmittedForm, require},
    text::{fill, number, plural_form},
    text_problems::explain,
    texts::account::{self, AccountTexts},
};
use crate::{
    domain::{
        admin::{PasswordOrigin, Role},
        authorization::Operation,
        caller::Call,
        legacy_report::ReportDays,
        name::AdminName,
        page::PageSize,
    },
    http::{
        error::ApiError,
        extract::{query::parse, state},
    },
    service::{Error, Service, admins::AdminRole},
};

struct AdminRow {
    name: String,
    role: &'static str,
    is_from_legacy: bool,
    added: DisplayTime,
    password_changed: Option<DisplayTime>,
    is_caller: bool,
    query: String,
}

#[derive(Template)]
#[template(path = "admins.html")]
struct AdminListPage {
    layout: Layout,
    notice: Option<&'static str>,
    rows: Vec<AdminRow>,
    first: Option<String>,
    next: Option<String>,
    name: String,
    roles: Vec<RoleChoice>,
    refusals: Vec<String>,
}

#[derive(Template)]
#[template(path = "role.html")]
struct RolePage {
    layout: Layout,
    name: String,
    query: String,
    roles: Vec<RoleChoice>,
    is_last: bool,
}

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    layout: Layout,
    texts: &'static AccountTexts,
    name: String,
    query: String,
    refusals: Vec<String>,
}

#[derive(Template)]
#[template(path = "remove.html")]
struct RemovalPage {
    layout: Layout,
    texts: &'static AccountTexts,
    name: String,
    query: String,
    is_last: bool,
    calls: u64,
    /// What breaks, in a sentence.
    calls_text: String,
    tokens: u64,
    refusal: Option<&'static str>,
}

#[derive(Deserialize)]
struct AdminListQuery {
    done: Option<String>,
    after: Option<String>,
}

/// `GET /console/admins`: lists the admins.
pub async fn list(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    let query: AdminListQuery = parse(request.query_string()).map_err(ApiError::bad_request)?;
    let notice = match query.done.as_deref() {
        Some("added") => Some(layout.texts.done_admin_added),
        Some("password-changed") => Some(layout.texts.done_password_changed),
        Some("role-changed") => Some(layout.texts.done_role_changed),
        Some("removed") => Some(layout.texts.done_admin_removed),
        _ => None,
    };
    let service = &state(&request)?.service;
    let after = query.after.as_deref().and_then(AdminName::parse_existing);
    render_page(&list_page(service, &call, layout, after, notice, String::new(), Vec::new()).await?)
}

async fn list_page(
    service: &Service,
    call: &Call,
    layout: Layout,
    after: Option<AdminName>,
    notice: Option<&'static str>,
    name: String,
    refusals: Vec<String>,
) -> Result<AdminListPage, ApiError> {
    let first = after.as_ref().map(|_| format!("{}/admins", layout.base));
    let admins = service.list_admins(call, after, PageSize::default()).await?;
    let next = admins
        .next
        .map(|next| format!("{}/admins{}", layout.base, build_query(&[("after", next.as_str())])));
    let rows = admins.admins.into_iter().map(|admin| AdminRow {
        name: admin.name.as_str().to_owned(),
        role: describe_role(admin.role, layout.texts).0,
        is_from_legacy: match admin.password_origin {
            PasswordOrigin::Local => false,
            PasswordOrigin::LegacyLogin => true,
        },
        added: layout.display_time(admin.created_at),
        password_changed: admin.password_changed_at.map(|time| layout.display_time(time)),
        is_caller: layout.admin.as_deref() == Some(admin.name.as_str()),
        query: build_query(&[("name", admin.name.as_str())]),
    });
    Ok(AdminListPage {
        rows: rows.collect(),
        first,
        next,
        notice,
        name,
        roles: RoleChoice::all(Role::default(), layout.texts),
        refusals,
        layout,
    })
}

/// `POST /console/admins`: adds an admin.
pub async fn add(
    request: HttpRequest,
    SubmittedForm { session, mut fields }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, layout, .. } = session;
    require(&call, Operation::ManageAdmins)?;
    let service = &state(&request)?.service;
    let written = fields.take("name");
    let texts = layout.texts;
    let name = AdminName::parse(written.trim()).map_err(|problem| explain(problem, texts.user_name, texts));
    let password = new_password(&mut fields, &layout).map_err(str::to_owned);
    let role = fields.text("role").parse()?;
    let (refusals, status) = match (name, password) {
        (Ok(name), Ok(password)) => match service.add_admin(call.clone(), name, password, role).await {
            Ok(()) => return Ok(see_other(&format!("{}/admins?done=added", layout.base))),
            Err(Error::Conflict(_)) => (vec![texts.admin_exists.to_owned()], StatusCode::CONFLICT),
            Err(other) => return Err(other.into()),
        },
        (name, password) => {
            let wrong = name.err().into_iter().chain(password.err());
            (wrong.collect(), StatusCode::BAD_REQUEST)
        }
    };
    let page = list_page(service, &call, layout, None, None, written, refusals).await?;
    render_page_with_status(status, &page)
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NameQuery {
    name: String,
}

/// The admin named in the request's query.
struct NamedAdmin {
    name: AdminName,
    role: Role,
    /// `true` for the last admin with [`Role::Admin`].
    is_last: bool,
}

async fn named(request: &HttpRequest, call: &Call) -> Result<NamedAdmin, ApiError> {
    let query: NameQuery = parse(request.query_string()).map_err(ApiError::bad_request)?;
    let name = AdminName::parse_existing(&query.name).ok_or(Error::NotFound("admin"))?;
    let AdminRole { role, is_last } = state(request)?.service.find_role(call, name.clone()).await?;
    Ok(NamedAdmin { name, role, is_last })
}

fn is_own(layout: &Layout, name: &AdminName) -> bool {
    layout.admin.as_deref() == Some(name.as_str())
}

const fn texts(layout: &Layout) -> &'static AccountTexts {
    layout.language.choose(&account::ENGLISH, &account::KOREAN)
}

fn password_page(layout: Layout, name: &AdminName, refusals: Vec<String>) -> PasswordPage {
    PasswordPage {
        texts: texts(&layout),
        layout,
        name: name.as_str().to_owned(),
        query: build_query(&[("name", name.as_str())]),
        refusals,
    }
}

/// `GET /console/admins/password?name=…`: shows the form for a new password.
pub async fn password_form(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    let NamedAdmin { name, .. } = named(&request, &call).await?;
    if is_own(&layout, &name) {
        return Ok(see_other(&format!("{}/account", layout.base)));
    }
    render_page(&password_page(layout, &name, Vec::new()))
}

/// `POST /console/admins/password?name=…`: changes a password and ends the sessions of that admin.
pub async fn change_password(
    request: HttpRequest,
    SubmittedForm { session, mut fields }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, layout, .. } = session;
    let NamedAdmin { name, .. } = named(&request, &call).await?;
    let password = match new_password(&mut fields, &layout) {
        Ok(password) => password,
        Err(wrong) => {
            let page = password_page(layout, &name, vec![wrong.to_owned()]);
            return render_page_with_status(StatusCode::BAD_REQUEST, &page);
        }
    };
    if let Err(refusal) = verify(&request, &call, &mut fields, &layout).await? {
        return render_page_with_status(StatusCode::FORBIDDEN, &password_page(layout, &name, vec![refusal]));
    }
    let next = if is_own(&layout, &name) { SIGN_IN } else { "/admins" };
    state(&request)?.service.change_password(call, name, password).await?;
    Ok(see_other(&format!("{}{next}?done=password-changed", layout.base)))
}

fn role_page(layout: Layout, NamedAdmin { name, role, is_last }: &NamedAdmin) -> RolePage {
    RolePage {
        name: name.as_str().to_owned(),
        query: build_query(&[("name", name.as_str())]),
        roles: RoleChoice::all(*role, layout.texts),
        is_last: *is_last,
        layout,
    }
}

/// `GET /console/admins/role?name=…`: shows the form for another role.
pub async fn role_form(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    render_page(&role_page(layout, &named(&request, &call).await?))
}

/// `POST /console/admins/role?name=…`: changes a role, but not of the last admin.
pub async fn change_role(
    request: HttpRequest,
    SubmittedForm { session, fields }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, layout, .. } = session;
    let admin = named(&request, &call).await?;
    let role = fields.text("role").parse()?;
    match state(&request)?
        .service
        .change_role(call, admin.name.clone(), role)
        .await
    {
        // The new role may not include this page.
        Ok(()) if is_own(&layout, &admin.name) => Ok(see_other(&format!("{}{FIRST_PAGE}", layout.base))),
        Ok(()) => Ok(see_other(&format!("{}/admins?done=role-changed", layout.base))),
        Err(Error::Conflict(_)) => render_page_with_status(StatusCode::CONFLICT, &role_page(layout, &admin)),
        Err(other) => Err(other.into()),
    }
}

/// `GET /console/admins/remove?name=…`: shows what depends on the account, and asks for its name.
pub async fn removal_form(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    let NamedAdmin { name, is_last, .. } = named(&request, &call).await?;
    render_page(&removal_page(&request, &call, layout, &name, is_last, None).await?)
}

async fn removal_page(
    request: &HttpRequest,
    call: &Call,
    layout: Layout,
    name: &AdminName,
    is_last: bool,
    refusal: Option<&'static str>,
) -> Result<RemovalPage, ApiError> {
    let texts = texts(&layout);
    let service = &state(request)?.service;
    let footprint = service
        .find_admin_footprint(call, name.clone(), ReportDays::default())
        .await?;
    let last = footprint.last_call.map(|at| layout.display_time(at).relative);
    let calls_text = match last {
        Some(last) if footprint.calls > 0 => {
            let form = plural_form(texts.remove_calls, footprint.calls);
            fill(form, [&number(footprint.calls), &last])
        }
        _ => texts.remove_no_calls.to_owned(),
    };
    Ok(RemovalPage {
        layout,
        texts,
        name: name.as_str().to_owned(),
        query: build_query(&[("name", name.as_str())]),
        is_last,
        calls: footprint.calls,
        calls_text,
        tokens: footprint.tokens.unsigned_abs(),
        refusal,
    })
}

/// `POST /console/admins/remove?name=…`: removes an admin whose name was typed, but not the last.
pub async fn remove(
    request: HttpRequest,
    SubmittedForm { session, fields }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, layout, .. } = session;
    let NamedAdmin { name, is_last, .. } = named(&request, &call).await?;
    // A name that was stored by an earlier version may be in another normal form than the typed one.
    let parse = |text: &str| text.parse::<AdminName>();
    let is_confirmed = parse(fields.text("confirm").trim())
        .is_ok_and(|typed| parse(name.as_str()).is_ok_and(|name| name == typed) || typed == name);
    if !is_confirmed && !is_last {
        let refusal = Some(texts(&layout).remove_wrong);
        let page = removal_page(&request, &call, layout, &name, is_last, refusal).await?;
        return render_page_with_status(StatusCode::BAD_REQUEST, &page);
    }
    let removed = state(&request)?.service.remove_admin(call.clone(), name.clone()).await;
    match removed {
        // An admin who removed themselves is redirected from there to the sign-in page.
        Ok(()) => Ok(see_other(&format!("{}/admins?done=removed", layout.base))),
        Err(Error::Conflict(_)) => {
            let page = removal_page(&request, &call, layout, &name, true, None).await?;
            render_page_with_status(StatusCode::CONFLICT, &page)
        }
        Err(other) => Err(other.into()),
    }
}
