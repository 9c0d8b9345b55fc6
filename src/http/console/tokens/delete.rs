//! Tokens are deleted.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use askama::Template;

use super::token_id;
use crate::{
    http::{
        console::{
            frame::Frame,
            page, page_with, see_other,
            session::{Posted, SignedIn},
        },
        error::Failure,
        extract::state,
    },
    service::tokens::TokenRef,
};

#[derive(Template)]
#[template(path = "delete.html")]
struct DeletePage {
    frame: Frame,
    id: String,
    name: String,
    refusal: Option<&'static str>,
}

/// `GET /console/tokens/{id}/delete`: asks whether a token is to be deleted.
pub async fn ask(request: HttpRequest, SignedIn { call, frame, .. }: SignedIn) -> Result<HttpResponse, Failure> {
    let id = token_id(&request)?;
    let token = state(&request)?.service.get(&call, TokenRef::Id(id)).await?;
    page(&DeletePage {
        frame,
        id: id.to_string(),
        name: token.name.as_str().to_owned(),
        refusal: None,
    })
}

/// `POST /console/tokens/{id}/delete`: deletes a token whose name was typed.
pub async fn delete(request: HttpRequest, Posted { who, fields }: Posted) -> Result<HttpResponse, Failure> {
    let SignedIn { call, frame, .. } = who;
    let (service, id) = (&state(&request)?.service, token_id(&request)?);
    let token = service.get(&call, TokenRef::Id(id)).await?;
    // Browsers show many blanks as one.
    let (typed, name) = (fields.text("confirm"), token.name.as_str());
    if !typed.split_whitespace().eq(name.split_whitespace()) {
        let refusal = Some(frame.texts.delete_wrong);
        let template = DeletePage {
            frame,
            id: id.to_string(),
            name: token.name.as_str().to_owned(),
            refusal,
        };
        return page_with(StatusCode::BAD_REQUEST, &template);
    }
    service.delete(call, TokenRef::Id(id)).await?;
    Ok(see_other(&format!("{}/tokens?done=deleted", frame.base)))
}
