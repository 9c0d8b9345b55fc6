//! Edits tokens.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};

use super::{
    form::{FormPage, conflict::Conflict, input::TokenInput, parse_version, values::FormValues},
    token_id,
};
use crate::{
    domain::{
        authorization::{Grant, Operation},
        precondition::{Precondition, TokenTag},
        token::TokenId,
    },
    http::{
        console::{
            fields::FormFields,
            paths::Back,
            see_other,
            session::{ConsoleSession, ResumableForm, require},
        },
        error::ApiError,
        extract::state,
    },
    service::{
        Error,
        tokens::{PermissionChange, TokenChanges, TokenRef},
    },
};

/// `GET /console/tokens/{id}/edit`: shows the form.
pub async fn show_form(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    require(&call, Operation::Update(Grant::default()))?;
    let id = token_id(&request)?;
    let token = state(&request)?.service.get(&call, TokenRef::Id(id)).await?;
    let values = FormValues::of_token(&token);
    let back = Back::of(&request);
    FormPage::for_token(layout, &token, token.version, back, values).render_with_status(StatusCode::OK)
}

/// `POST /console/tokens/{id}/edit`: changes a token. If it has changed since the form was rendered, shows both
/// versions instead.
pub async fn update(request: HttpRequest, form: ResumableForm) -> Result<HttpResponse, ApiError> {
    let id = token_id(&request)?;
    if !form.is_current {
        return resume(&request, form.session, &form.fields, id).await;
    }
    let ConsoleSession { call, layout, .. } = form.session;
    let service = &state(&request)?.service;
    let version = parse_version(form.fields.text("version"))?;
    let back = Back::parse(form.fields.text(Back::PARAMETER));
    let values = FormValues::from_fields(&form.fields)?;
    let token = service.get(&call, TokenRef::Id(id)).await?;
    let input = match TokenInput::parse(&values, &layout, token.expires_at) {
        Ok(input) => input,
        Err(errors) => {
            // Still the version that the admin saw, so that the corrected form does not overwrite what others saved
            // since.
            let page = FormPage::for_token(layout, &token, version, back, values).with_errors(errors);
            return page.render_with_status(StatusCode::BAD_REQUEST);
        }
    };
    let changes = TokenChanges {
        name: Some(input.name.clone()),
        permissions: Some(PermissionChange::Replace(input.permissions)),
        allowed_cidr_blocks: Some(input.blocks.clone()),
        expires_at: Some(input.expires_at),
        description: input.description.clone(),
        owner: input.owner.clone(),
        disabled: None,
        precondition: Precondition::OneOf(vec![TokenTag { id, version }]),
    };
    match service.update(call.clone(), TokenRef::Id(id), changes).await {
        Ok(_) => {}
        Err(Error::PreconditionFailed) => {
            let token = service.get(&call, TokenRef::Id(id)).await?;
            if let Some(conflict) = Conflict::between(&token, &input, &layout) {
                let page = FormPage::for_token(layout, &token, token.version, back, values).with_conflict(conflict);
                return page.render_with_status(StatusCode::CONFLICT);
            }
        }
        Err(other) => return Err(other.into()),
    }
    Ok(see_other(&back.with_notice(&layout.base, "changed")))
}

/// Shows the form with contents that were submitted after their session had ended.
///
/// # Errors
/// 404 if the token does not exist; 403 if the admin may not change it.
pub async fn resume(
    request: &HttpRequest,
    session: ConsoleSession,
    fields: &FormFields,
    id: TokenId,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, layout, .. } = session;
    require(&call, Operation::Update(Grant::default()))?;
    let version = parse_version(fields.text("version"))?;
    let values = FormValues::from_fields(fields)?;
    let token = state(request)?.service.get(&call, TokenRef::Id(id)).await?;
    let back = Back::parse(fields.text(Back::PARAMETER));
    FormPage::for_token(layout, &token, version, back, values).render_resumed()
}
