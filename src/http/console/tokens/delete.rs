//! Deletes tokens.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use askama::Template;

use super::token_id;
use crate::{
    domain::{authorization::Operation, precondition::Precondition},
    http::{
        console::{
            layout::Layout,
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
    id: String,
    name: String,
    refusal: Option<&'static str>,
}

/// `GET /console/tokens/{id}/delete`: asks for confirmation.
pub async fn show_form(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    require(&call, Operation::Delete)?;
    let id = token_id(&request)?;
    let token = state(&request)?.service.get(&call, TokenRef::Id(id)).await?;
    render_page(&DeletePage {
        layout,
        id: id.to_string(),
        name: token.name.as_str().to_owned(),
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
    let (service, id) = (&state(&request)?.service, token_id(&request)?);
    let token = service.get(&call, TokenRef::Id(id)).await?;
    // Browsers display consecutive spaces as one.
    let (typed, name) = (fields.text("confirm"), token.name.as_str());
    if !typed.split_whitespace().eq(name.split_whitespace()) {
        let refusal = Some(layout.texts.delete_wrong);
        let template = DeletePage {
            layout,
            id: id.to_string(),
            name: token.name.as_str().to_owned(),
            refusal,
        };
        return render_page_with_status(StatusCode::BAD_REQUEST, &template);
    }
    service.delete(call, TokenRef::Id(id), Precondition::None).await?;
    Ok(see_other(&format!("{}/tokens?done=deleted", layout.base)))
}
