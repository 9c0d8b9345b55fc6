//! Disables and enables tokens.

use actix_web::{HttpRequest, HttpResponse};

use super::token_id;
use crate::{
    http::{
        console::{
            paths::Back,
            see_other,
            session::{ConsoleSession, SubmittedForm},
        },
        error::ApiError,
        extract::state,
    },
    service::tokens::{TokenChanges, TokenRef},
};

/// `POST /console/tokens/{id}/disable`: refuses every use of a token from now on.
pub async fn disable(request: HttpRequest, form: SubmittedForm) -> Result<HttpResponse, ApiError> {
    set_disabled(&request, form, true).await
}

/// `POST /console/tokens/{id}/enable`: allows the use of a token again.
pub async fn enable(request: HttpRequest, form: SubmittedForm) -> Result<HttpResponse, ApiError> {
    set_disabled(&request, form, false).await
}

async fn set_disabled(
    request: &HttpRequest,
    SubmittedForm { session, fields }: SubmittedForm,
    disabled: bool,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, layout, .. } = session;
    let changes = TokenChanges {
        disabled: Some(disabled),
        ..TokenChanges::default()
    };
    let id = token_id(request)?;
    state(request)?.service.update(call, TokenRef::Id(id), changes).await?;
    let done = if disabled { "disabled" } else { "enabled" };
    let back = Back::parse(fields.text(Back::PARAMETER));
    Ok(see_other(&back.with_notice(&layout.base, done)))
}
