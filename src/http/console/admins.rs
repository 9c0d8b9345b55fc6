//! The page of the admins, and those that lead on from it.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use askama::Template;
use serde::Deserialize;

use super::{
    fields::Fields,
    frame::{Frame, query_of},
    page, page_with, see_other,
    session::{Posted, SignedIn},
    when::When,
};
use crate::{
    domain::{admin::Password, name::AdminName, page::PageSize},
    http::{
        error::Failure,
        extract::{query::read_query, state},
    },
    service::{Error, Service},
};

struct Row {
    name: String,
    added: When,
    password_changed: Option<When>,
    is_caller: bool,
    query: String,
}

#[derive(Template)]
#[template(path = "admins.html")]
struct ListPage {
    frame: Frame,
    notice: Option<&'static str>,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
    name: String,
    refusals: Vec<&'static str>,
}

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    frame: Frame,
    name: String,
    query: String,
    refusals: Vec<&'static str>,
}

#[derive(Template)]
#[template(path = "remove.html")]
struct RemovalPage {
    frame: Frame,
    name: String,
    query: String,
    is_last: bool,
}

#[derive(Deserialize)]
struct ListQuery {
    done: Option<String>,
    after: Option<String>,
}

/// `GET /console/admins`.
pub async fn list(request: HttpRequest, SignedIn { frame, .. }: SignedIn) -> Result<HttpResponse, Failure> {
    let query: ListQuery = read_query(&request, &[&["done", "after"]])?;
    let notice = match query.done.as_deref() {
        Some("added") => Some(frame.texts.done_admin_added),
        Some("password-changed") => Some(frame.texts.done_password_changed),
        Some("removed") => Some(frame.texts.done_admin_removed),
        _ => None,
    };
    let service = &state(&request)?.service;
    let after = query.after.map(AdminName::parse).transpose()?;
    page(&list_page(service, frame, after, notice, String::new(), Vec::new()).await?)
}

async fn list_page(
    service: &Service,
    frame: Frame,
    after: Option<AdminName>,
    notice: Option<&'static str>,
    name: String,
    refusals: Vec<&'static str>,
) -> Result<ListPage, Failure> {
    let first = after.as_ref().map(|_| format!("{}/admins", frame.base));
    let admins = service.list_admins(after, PageSize::default()).await?;
    let next = admins
        .next
        .map(|next| format!("{}/admins{}", frame.base, query_of(&[("after", next.as_str())])));
    let rows = admins.admins.into_iter().map(|admin| Row {
        name: admin.name.as_str().to_owned(),
        added: frame.when(admin.created_at),
        password_changed: admin.password_changed_at.map(|time| frame.when(time)),
        is_caller: frame.admin.as_deref() == Some(admin.name.as_str()),
        query: query_of(&[("name", admin.name.as_str())]),
    });
    Ok(ListPage {
        rows: rows.collect(),
        first,
        next,
        notice,
        name,
        refusals,
        frame,
    })
}

/// The new password of a form, or what is wrong with it.
fn new_password(fields: &mut Fields, frame: &Frame) -> Result<Password, &'static str> {
    let (password, again) = (fields.take("password"), fields.take("again"));
    if password != again {
        return Err(frame.texts.bad_again);
    }
    let password = Password::parse(password.into()).ok();
    let long_enough = password.filter(|password| !password.is_short());
    long_enough.ok_or(frame.texts.bad_password)
}

/// `POST /console/admins`: adds an admin.
pub async fn add(request: HttpRequest, Posted { who, mut fields }: Posted) -> Result<HttpResponse, Failure> {
    let SignedIn { call, frame, .. } = who;
    let service = &state(&request)?.service;
    let written = fields.take("name");
    let name = AdminName::parse(written.trim()).map_err(|_| frame.texts.bad_admin_name);
    let password = new_password(&mut fields, &frame);
    let (refusals, status) = match (name, password) {
        (Ok(name), Ok(password)) => match service.add_admin(call, name, password).await {
            Ok(()) => return Ok(see_other(&format!("{}/admins?done=added", frame.base))),
            Err(Error::Conflict(_)) => (vec![frame.texts.admin_exists], StatusCode::CONFLICT),
            Err(other) => return Err(other.into()),
        },
        (name, password) => {
            let wrong = name.err().into_iter().chain(password.err());
            (wrong.collect(), StatusCode::BAD_REQUEST)
        }
    };
    page_with(status, &list_page(service, frame, None, None, written, refusals).await?)
}

#[derive(Deserialize)]
struct NameQuery {
    name: String,
}

/// Returns the admin in the request's path, and `true` if it is the only one.
async fn named(request: &HttpRequest) -> Result<(AdminName, bool), Failure> {
    let query: NameQuery = read_query(request, &[&["name"]])?;
    let name = AdminName::of_existing(&query.name).ok_or(Error::NotFound("admin"))?;
    let is_last = state(request)?.service.is_last_admin(name.clone()).await?;
    Ok((name, is_last))
}

fn password_page(frame: Frame, name: &AdminName, refusals: Vec<&'static str>) -> PasswordPage {
    PasswordPage {
        frame,
        name: name.as_str().to_owned(),
        query: query_of(&[("name", name.as_str())]),
        refusals,
    }
}

/// `GET /console/admins/password?name=…`: asks for a new password.
pub async fn password_form(request: HttpRequest, SignedIn { frame, .. }: SignedIn) -> Result<HttpResponse, Failure> {
    let (name, _) = named(&request).await?;
    page(&password_page(frame, &name, Vec::new()))
}

/// `POST /console/admins/password?name=…`: changes a password, which ends the sessions of that admin.
pub async fn change_password(
    request: HttpRequest,
    Posted { who, mut fields }: Posted,
) -> Result<HttpResponse, Failure> {
    let SignedIn { call, frame, .. } = who;
    let (name, _) = named(&request).await?;
    let password = match new_password(&mut fields, &frame) {
        Ok(password) => password,
        Err(wrong) => return page_with(StatusCode::BAD_REQUEST, &password_page(frame, &name, vec![wrong])),
    };
    let own = frame.admin.as_deref() == Some(name.as_str());
    state(&request)?.service.change_password(call, name, password).await?;
    let next = if own { "/sign-in" } else { "/admins" };
    Ok(see_other(&format!("{}{next}?done=password-changed", frame.base)))
}

/// `GET /console/admins/remove?name=…`: asks whether an admin is to be removed.
pub async fn removal_form(request: HttpRequest, SignedIn { frame, .. }: SignedIn) -> Result<HttpResponse, Failure> {
    let (name, is_last) = named(&request).await?;
    page(&removal_page(frame, &name, is_last))
}

fn removal_page(frame: Frame, name: &AdminName, is_last: bool) -> RemovalPage {
    RemovalPage {
        frame,
        name: name.as_str().to_owned(),
        query: query_of(&[("name", name.as_str())]),
        is_last,
    }
}

/// `POST /console/admins/remove?name=…`: removes an admin, but not the last.
pub async fn remove(request: HttpRequest, Posted { who, .. }: Posted) -> Result<HttpResponse, Failure> {
    let SignedIn { call, frame, .. } = who;
    let (name, _) = named(&request).await?;
    match state(&request)?.service.remove_admin(call, name.clone()).await {
        // Whoever has removed themselves is led to the sign-in from there.
        Ok(()) => Ok(see_other(&format!("{}/admins?done=removed", frame.base))),
        Err(Error::Conflict(_)) => page_with(StatusCode::CONFLICT, &removal_page(frame, &name, true)),
        Err(other) => Err(other.into()),
    }
}
