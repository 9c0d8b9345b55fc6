//! Deletes tokens.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use askama::Template;

use super::{facts::TokenFacts, token_id};
use crate::{
    domain::{authorization::Operation, precondition::Precondition},
    http::{
        console::{
            layout::Layout,
            paths::Back,
            render_page, render_page_with_status, see_other,
            session::{ConsoleSession, SubmittedForm, require},
        },
        error::ApiError,
        extract::state,
    },
    service::tokens::TokenRef,
};

#[derive(Template)]
#[template(path = "delete.html")]
struct DeletePage {
    layout: Layout,
    facts: TokenFacts,
    /// The list to return to.
    back: Back,
    /// The link to it.
    cancel: String,
    refusal: Option<&'static str>,
}

/// `GET /console/tokens/{id}/delete`: asks for confirmation.
pub async fn show_form(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    require(&call, Operation::Delete)?;
    let (service, which) = (&state(&request)?.service, TokenRef::Id(token_id(&request)?));
    let token = service.get(&call, which).await?;
    let usage = service.usage(&call, which).await?;
    let back = Back::of(&request);
    render_page(&DeletePage {
        facts: TokenFacts::new(&token, &usage, &layout),
        cancel: back.link(&layout.base),
        back,
        layout,
        refusal: None,
    })
}

/// `POST /console/tokens/{id}/delete`: deletes a token if its name was typed.
pub async fn delete(
    request: HttpRequest,
    SubmittedForm { session, fields }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, layout, .. } = session;
    require(&call, Operation::Delete)?;
    let (service, which) = (&state(&request)?.service, TokenRef::Id(token_id(&request)?));
    let back = Back::parse(fields.text(Back::PARAMETER));
    let token = service.get(&call, which).await?;
    // Browsers display consecutive spaces as one.
    let (typed, name) = (fields.text("confirm"), token.name.as_str());
    if !typed.split_whitespace().eq(name.split_whitespace()) {
        let usage = service.usage(&call, which).await?;
        let template = DeletePage {
            facts: TokenFacts::new(&token, &usage, &layout),
            cancel: back.link(&layout.base),
            back,
            refusal: Some(layout.texts.delete_wrong),
            layout,
        };
        return render_page_with_status(StatusCode::BAD_REQUEST, &template);
    }
    service.delete(call, which, Precondition::None).await?;
    Ok(see_other(&back.with_notice(&layout.base, "deleted")))
}
