//! Ends the grace period of an earlier value.

use actix_web::{HttpRequest, HttpResponse};

use super::token_id;
use crate::{
    http::{
        console::{
            see_other,
            session::{ConsoleSession, SubmittedForm},
        },
        error::ApiError,
        extract::state,
    },
    service::tokens::TokenRef,
};

/// `POST /console/tokens/{id}/end-grace`: refuses an earlier value from now on.
pub async fn end(
    request: HttpRequest,
    SubmittedForm { session, fields }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, layout, .. } = session;
    let id = token_id(&request)?;
    let fingerprint = fields.text("value").to_owned();
    // The value may have ended meanwhile, by its time or by another admin.
    let service = &state(&request)?.service;
    service.end_grace_value(call, TokenRef::Id(id), fingerprint).await?;
    Ok(see_other(&format!("{}/tokens/{id}?done=grace-ended", layout.base)))
}
