//! Creates tokens.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};

use super::{
    ValuePage,
    form::{FormPage, input::TokenInput, values::FormValues},
};
use crate::{
    domain::{
        authorization::{Grant, Operation},
        expiry::Expiry,
        session::SessionKey,
        token::TokenId,
    },
    http::{
        console::{
            fields::FormFields,
            paths::Back,
            render_page, see_other,
            session::{ConsoleSession, ResumableForm, require},
        },
        error::ApiError,
        extract::state,
    },
    service::{Error, tokens::NewToken},
};

/// `GET /console/tokens/new`: shows the form.
pub async fn show_form(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    require(&call, Operation::Create(Grant::default()))?;
    let mark = state(&request)?.service.new_session_key()?.expose().to_owned();
    FormPage::for_new_token(layout, mark, Back::of(&request), FormValues::default()).render_with_status(StatusCode::OK)
}

/// `POST /console/tokens/new`: creates a token and shows its value. Submitting the form again creates
/// no second token.
pub async fn create(request: HttpRequest, form: ResumableForm) -> Result<HttpResponse, ApiError> {
    if !form.is_current {
        return resume(form.session, &form.fields);
    }
    let ConsoleSession { call, key, layout } = form.session;
    let mark = form.fields.text("mark").to_owned();
    let back = Back::parse(form.fields.text(Back::PARAMETER));
    let values = FormValues::from_fields(&form.fields)?;
    let input = match TokenInput::parse(&values, &layout, Expiry::Never) {
        Ok(input) => input,
        Err(errors) => {
            let page = FormPage::for_new_token(layout, mark, back, values).with_errors(errors);
            return page.render_with_status(StatusCode::BAD_REQUEST);
        }
    };
    let id = derive_token_id(&key, &mark)?;
    let new = NewToken {
        id: Some(id),
        name: input.name,
        permissions: Some(input.permissions),
        allowed_cidr_blocks: Some(input.blocks),
        expires_at: Some(input.expires_at),
        description: input.description.apply(None),
        owner: input.owner.apply(None),
        disabled: false,
    };
    let texts = layout.texts;
    match state(&request)?.service.create(call, new, None).await {
        Ok((token, value)) => {
            let page = ValuePage::new(layout, &request, texts.created_title, &token, &value, &back);
            render_page(&page)
        }
        Err(Error::Conflict(_)) => Ok(see_other(&format!("{}/tokens/{id}?seen=made", layout.base))),
        Err(other) => Err(other.into()),
    }
}

/// Shows the form with contents that were submitted after their session had ended.
///
/// # Errors
/// 403 if the admin may not create tokens.
pub fn resume(session: ConsoleSession, fields: &FormFields) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, layout, .. } = session;
    require(&call, Operation::Create(Grant::default()))?;
    let values = FormValues::from_fields(fields)?;
    let mark = fields.text("mark").to_owned();
    FormPage::for_new_token(layout, mark, Back::parse(fields.text(Back::PARAMETER)), values).render_resumed()
}

/// Derives the ID of the token that a form creates.
fn derive_token_id(key: &SessionKey, mark: &str) -> Result<TokenId, ApiError> {
    mark.parse::<SessionKey>().map_err(|_| FormFields::refusal())?;
    Ok(key.token_id(mark))
}
