//! Searches the token list, or opens the token of a value.

use actix_web::{HttpRequest, HttpResponse};

use super::{filters::ListQuery, list};
use crate::{
    domain::token::TokenId,
    http::{
        console::{
            paths::Back,
            see_other,
            session::{ConsoleSession, SubmittedForm},
        },
        error::ApiError,
        extract::state,
    },
    service::{Error, tokens::TokenRef},
};

/// `POST /console/tokens/search`: opens the token of a value or of an ID, or leads to the list that was searched for. A
/// value stays in the body of this request: URLs get into logs and histories.
pub async fn search(
    request: HttpRequest,
    SubmittedForm { session, fields }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    let mut query = ListQuery::from_fields(&fields);
    if let Some(value) = query.take_value() {
        return open_by_value(&request, session, query, &value).await;
    }
    let ConsoleSession { call, layout, .. } = session;
    if let Ok(id) = query.search.parse::<TokenId>() {
        match state(&request)?.service.get(&call, TokenRef::Id(id)).await {
            Ok(token) => return Ok(open(&layout.base, token.id, &query)),
            Err(Error::NotFound(_)) => {} // The list says that no token matches.
            Err(error) => return Err(error.into()),
        }
    }
    Ok(see_other(&format!("{}{}", layout.base, query.path())))
}

async fn open_by_value(
    request: &HttpRequest,
    session: ConsoleSession,
    query: ListQuery,
    value: &str,
) -> Result<HttpResponse, ApiError> {
    let texts = session.layout.texts;
    let refusal = match state(request)?.service.lookup(&session.call, value).await {
        Ok(token) => return Ok(open(&session.layout.base, token.id, &query)),
        Err(Error::NotFound(_)) => texts.value_unknown,
        Err(Error::Invalid(_)) => texts.value_incomplete,
        Err(error) => return Err(error.into()),
    };
    list::refuse(request, session, query, refusal.to_owned()).await
}

/// Redirects to the page of a token, which returns to the list without the search.
fn open(base: &str, id: TokenId, query: &ListQuery) -> HttpResponse {
    let back = Back::parse(&query.path_with(|list| list.search.clear()));
    see_other(&back.link_from(&format!("{base}/tokens/{id}")))
}
