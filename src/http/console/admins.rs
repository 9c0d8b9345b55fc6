//! The pages to list, add and remove admins, and to change passwords.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use askama::Template;
use serde::Deserialize;

use super::{
    display_time::DisplayTime,
    fields::FormFields,
    layout::Layout,
    paths::build_query,
    render_page, render_page_with_status, see_other,
    session::{ConsoleSession, SubmittedForm},
};
use crate::{
    domain::{admin::Password, caller::Call, name::AdminName, page::PageSize},
    http::{
        error::ApiError,
        extract::{query::read_query, state},
    },
    service::{Error, Service},
};

struct AdminRow {
    name: String,
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
    refusals: Vec<&'static str>,
}

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    layout: Layout,
    name: String,
    query: String,
    refusals: Vec<&'static str>,
}

#[derive(Template)]
#[template(path = "remove.html")]
struct RemovalPage {
    layout: Layout,
    name: String,
    query: String,
    is_last: bool,
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
    let query: AdminListQuery = read_query(request.query_string(), &[&["done", "after"]])?;
    let notice = match query.done.as_deref() {
        Some("added") => Some(layout.texts.done_admin_added),
        Some("password-changed") => Some(layout.texts.done_password_changed),
        Some("removed") => Some(layout.texts.done_admin_removed),
        _ => None,
    };
    let service = &state(&request)?.service;
    let after = query.after.map(AdminName::parse).transpose()?;
    render_page(&list_page(service, &call, layout, after, notice, String::new(), Vec::new()).await?)
}

async fn list_page(
    service: &Service,
    call: &Call,
    layout: Layout,
    after: Option<AdminName>,
    notice: Option<&'static str>,
    name: String,
    refusals: Vec<&'static str>,
) -> Result<AdminListPage, ApiError> {
    let first = after.as_ref().map(|_| format!("{}/admins", layout.base));
    let admins = service.list_admins(call, after, PageSize::default()).await?;
    let next = admins
        .next
        .map(|next| format!("{}/admins{}", layout.base, build_query(&[("after", next.as_str())])));
    let rows = admins.admins.into_iter().map(|admin| AdminRow {
        name: admin.name.as_str().to_owned(),
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
        refusals,
        layout,
    })
}

/// Returns the new password of a form.
///
/// # Errors
/// The message for the page if the two inputs differ or the password is not allowed.
fn new_password(fields: &mut FormFields, layout: &Layout) -> Result<Password, &'static str> {
    let (password, again) = (fields.take("password"), fields.take("again"));
    if password != again {
        return Err(layout.texts.password_mismatch);
    }
    let password = Password::parse(password.into()).ok();
    let long_enough = password.filter(|password| !password.is_short());
    long_enough.ok_or(layout.texts.bad_password)
}

/// `POST /console/admins`: adds an admin.
pub async fn add(
    request: HttpRequest,
    SubmittedForm { session, mut fields }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, layout, .. } = session;
    let service = &state(&request)?.service;
    let written = fields.take("name");
    let name = AdminName::parse(written.trim()).map_err(|_| layout.texts.bad_admin_name);
    let password = new_password(&mut fields, &layout);
    let (refusals, status) = match (name, password) {
        (Ok(name), Ok(password)) => match service.add_admin(call.clone(), name, password).await {
            Ok(()) => return Ok(see_other(&format!("{}/admins?done=added", layout.base))),
            Err(Error::Conflict(_)) => (vec![layout.texts.admin_exists], StatusCode::CONFLICT),
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

#[derive(Deserialize)]
struct NameQuery {
    name: String,
}

/// Returns the admin named in the request's query, and `true` if it is the only one.
async fn named(request: &HttpRequest, call: &Call) -> Result<(AdminName, bool), ApiError> {
    let query: NameQuery = read_query(request.query_string(), &[&["name"]])?;
    let name = AdminName::parse_existing(&query.name).ok_or(Error::NotFound("admin"))?;
    let is_last = state(request)?.service.is_last_admin(call, name.clone()).await?;
    Ok((name, is_last))
}

fn password_page(layout: Layout, name: &AdminName, refusals: Vec<&'static str>) -> PasswordPage {
    PasswordPage {
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
    let (name, _) = named(&request, &call).await?;
    render_page(&password_page(layout, &name, Vec::new()))
}

/// `POST /console/admins/password?name=…`: changes a password and ends the sessions of that admin.
pub async fn change_password(
    request: HttpRequest,
    SubmittedForm { session, mut fields }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, layout, .. } = session;
    let (name, _) = named(&request, &call).await?;
    let password = match new_password(&mut fields, &layout) {
        Ok(password) => password,
        Err(wrong) => {
            return render_page_with_status(StatusCode::BAD_REQUEST, &password_page(layout, &name, vec![wrong]));
        }
    };
    let own = layout.admin.as_deref() == Some(name.as_str());
    state(&request)?.service.change_password(call, name, password).await?;
    let next = if own { "/sign-in" } else { "/admins" };
    Ok(see_other(&format!("{}{next}?done=password-changed", layout.base)))
}

/// `GET /console/admins/remove?name=…`: asks for confirmation.
pub async fn removal_form(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    let (name, is_last) = named(&request, &call).await?;
    render_page(&removal_page(layout, &name, is_last))
}

fn removal_page(layout: Layout, name: &AdminName, is_last: bool) -> RemovalPage {
    RemovalPage {
        layout,
        name: name.as_str().to_owned(),
        query: build_query(&[("name", name.as_str())]),
        is_last,
    }
}

/// `POST /console/admins/remove?name=…`: removes an admin, but not the last.
pub async fn remove(
    request: HttpRequest,
    SubmittedForm { session, .. }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, layout, .. } = session;
    let (name, _) = named(&request, &call).await?;
    match state(&request)?.service.remove_admin(call, name.clone()).await {
        // An admin who removed themselves is redirected from there to the sign-in page.
        Ok(()) => Ok(see_other(&format!("{}/admins?done=removed", layout.base))),
        Err(Error::Conflict(_)) => render_page_with_status(StatusCode::CONFLICT, &removal_page(layout, &name, true)),
        Err(other) => Err(other.into()),
    }
}
