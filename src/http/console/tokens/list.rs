//! The token list.

mod found;
mod rows;
mod view;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use askama::Template;

use super::filters::ListQuery;
use crate::{
    domain::page::BoundedCount,
    http::{
        console::{
            layout::Layout,
            paths::Back,
            render_page_with_status,
            session::ConsoleSession,
            text::{count, fill, number},
            texts::Texts,
        },
        error::ApiError,
        extract::query,
    },
};
use found::find;
use rows::TokenRow;
use view::{ActiveFilter, Column, ListView, Pages, SelectOption, StatusLink, bad_filter};

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokenListPage {
    layout: Layout,
    notice: Option<String>,
    refusal: Option<String>,
    query: ListQuery,
    /// The list itself, which actions return to.
    back: Back,
    statuses: Vec<StatusLink>,
    filters: Vec<ActiveFilter>,
    has_more_filters: bool,
    permissions: Vec<SelectOption>,
    sorts: Vec<SelectOption>,
    columns: Vec<Column>,
    rows: Vec<TokenRow>,
    /// `true` if there are no tokens at all.
    is_new: bool,
    pages: Pages,
    /// The label of the check box that selects all matching tokens; `None` if they are too many.
    select_all: Option<String>,
    too_many: String,
}

/// `GET /console/tokens`: a page of the tokens.
pub async fn list(request: HttpRequest, session: ConsoleSession) -> Result<HttpResponse, ApiError> {
    let mut list = ListQuery::parse(request.query_string());
    if list.take_value().is_some() {
        let refusal = session.layout.texts.value_in_link.to_owned();
        return refuse(&request, session, list, refusal).await;
    }
    let banner = Banner::of(&request, session.layout.texts);
    render(&request, session, list, banner).await
}

/// Renders the list with the reason why a search was refused.
pub async fn refuse(
    request: &HttpRequest,
    session: ConsoleSession,
    list: ListQuery,
    refusal: String,
) -> Result<HttpResponse, ApiError> {
    render(
        request,
        session,
        list,
        Banner::refusal(refusal, StatusCode::BAD_REQUEST),
    )
    .await
}

/// The messages above the list.
struct Banner {
    notice: Option<String>,
    refusal: Option<String>,
    status: StatusCode,
}

impl Default for Banner {
    fn default() -> Self {
        Self {
            notice: None,
            refusal: None,
            status: StatusCode::OK,
        }
    }
}

impl Banner {
    /// Returns the notice of the last action, which the query names.
    fn of(request: &HttpRequest, texts: &Texts) -> Self {
        let pairs: Vec<(String, String)> = query::parse(request.query_string()).unwrap_or_default();
        let value = |name| Some(pairs.iter().find(|(known, _)| known == name)?.1.as_str());
        let counted = value(Back::COUNT).and_then(|number| number.parse::<u64>().ok());
        let text = match (value(Back::NOTICE), counted) {
            (Some("changed"), None) => texts.done_changed.to_owned(),
            (Some("disabled"), None) => texts.done_disabled.to_owned(),
            (Some("enabled"), None) => texts.done_enabled.to_owned(),
            (Some("deleted"), None) => texts.done_deleted.to_owned(),
            (Some("changed"), Some(number)) => count(texts.bulk_changed, number),
            (Some("disabled"), Some(number)) => count(texts.bulk_disabled, number),
            (Some("enabled"), Some(number)) => count(texts.bulk_enabled, number),
            (Some("deleted"), Some(number)) => count(texts.bulk_deleted, number),
            (Some("none-selected"), _) => return Self::refusal(texts.none_selected.to_owned(), StatusCode::OK),
            _ => return Self::default(),
        };
        Self {
            notice: Some(text),
            ..Self::default()
        }
    }

    const fn refusal(text: String, status: StatusCode) -> Self {
        Self {
            notice: None,
            refusal: Some(text),
            status,
        }
    }
}

async fn render(
    request: &HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
    list: ListQuery,
    banner: Banner,
) -> Result<HttpResponse, ApiError> {
    let texts = layout.texts;
    let Banner {
        notice,
        refusal,
        status,
    } = banner;
    let (found, refusal, status) = match find(request, &call, &list, &layout).await? {
        Ok(found) => (Some(found), refusal, status),
        Err(_) => (None, Some(bad_filter(&list, texts)), StatusCode::BAD_REQUEST),
    };
    let view = ListView {
        list: &list,
        base: &layout.base,
        texts,
    };
    let back = Back::parse(&list.path());
    let total = found.as_ref().map(|found| found.total).unwrap_or_default();
    let tokens = found
        .as_ref()
        .map(|found| found.page.tokens.as_slice())
        .unwrap_or_default();
    let template = TokenListPage {
        notice,
        refusal,
        statuses: view.statuses(found.as_ref()),
        filters: view.active_filters(),
        has_more_filters: !(list.owner.is_empty()
            && list.creator.is_empty()
            && list.permission.is_empty()
            && list.network.is_empty()),
        permissions: view.permission_options(),
        sorts: view.order_options(),
        columns: view.columns(),
        rows: tokens
            .iter()
            .map(|token| TokenRow::new(token, &list.search, &back, &layout))
            .collect(),
        is_new: tokens.is_empty() && found.as_ref().is_some_and(|found| found.is_unfiltered),
        pages: found.as_ref().map(|found| view.pages(found)).unwrap_or_default(),
        select_all: total.exact().map(|total| count(texts.select_all, total)),
        too_many: fill(texts.select_too_many, [&number(BoundedCount::MAX)]),
        back,
        query: list.clone(),
        layout,
    };
    render_page_with_status(status, &template)
}
