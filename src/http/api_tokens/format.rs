//! The formats of the list of tokens.

use actix_web::{
    HttpResponse,
    http::header::{self, HeaderValue},
    web::{Bytes, Data},
};

use crate::{
    domain::{
        caller::Call,
        page::{Cursor, Page, PageSize, TokenFilter},
    },
    http::{
        State,
        error::ApiError,
        extract::accept::ResponseFormat,
        paged_body::{PageText, stream_pages},
    },
    view::{csv, token_csv},
};

/// A format of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// A page, as a JSON object.
    Json,
    /// CSV (RFC 4180): all tokens, unless the request has a limit.
    Csv,
}

impl ResponseFormat for ListFormat {
    const OFFERED: &'static [(&'static str, Self)] = &[("application/json", Self::Json), ("text/csv", Self::Csv)];
}

/// Streams the tokens that match `filter` after `cursor` as CSV, or one page of this size.
///
/// # Errors
/// Those of [`Service::list`](crate::service::Service::list), if the first page cannot be read.
pub async fn csv(
    state: Data<State>,
    call: Call,
    filter: TokenFilter,
    cursor: Cursor,
    size: Option<PageSize>,
) -> Result<HttpResponse, ApiError> {
    let first = state
        .service
        .list(&call, filter.clone(), cursor, size.unwrap_or(PageSize::MAX))
        .await?;
    let next = first.next.filter(|_| size.is_none());
    let text = token_csv::header() + &rows(&first);
    let mut response = HttpResponse::Ok();
    response
        .content_type(csv::CONTENT_TYPE)
        .insert_header((header::VARY, HeaderValue::from_static("accept")));
    Ok(stream_pages(response, (text.into(), next), move |after| {
        let (state, call, filter) = (state.clone(), call.clone(), filter.clone());
        async move {
            let page = state.service.list(&call, filter, after, PageSize::MAX).await?;
            Ok::<PageText<Cursor>, ApiError>((Bytes::from(rows(&page)), page.next))
        }
    }))
}

fn rows(page: &Page) -> String {
    page.tokens.iter().map(token_csv::row).collect()
}
