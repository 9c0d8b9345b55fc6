//! Confirmation of a change with the password of the acting admin: a stolen session must not change
//! passwords.

use actix_web::HttpRequest;

use super::{fields::FormFields, layout::Layout, text::count, texts::account};
use crate::{
    domain::{
        admin::Password,
        caller::{Call, Caller},
    },
    http::{error::ApiError, extract::state},
    service::Error,
};

/// Verifies the acting admin's own password, the field `own` of a form. Failures are throttled and recorded like those
/// of a sign-in.
///
/// # Errors
/// The message for the page if the password is wrong or attempts are throttled.
pub async fn verify(
    request: &HttpRequest,
    call: &Call,
    fields: &mut FormFields,
    layout: &Layout,
) -> Result<Result<(), String>, ApiError> {
    let texts = layout.language.choose(&account::ENGLISH, &account::KOREAN);
    let Caller::Admin(admin) = &call.caller else {
        return Ok(Err(texts.wrong_password.to_owned()));
    };
    let (name, password) = (admin.name.as_str(), fields.take("own").into());
    let verified = state(request)?
        .service
        .authenticate_admin(name, password, call.origin)
        .await;
    match verified {
        Ok(_) => Ok(Ok(())),
        Err(Error::Unauthenticated(_)) => Ok(Err(texts.wrong_password.to_owned())),
        Err(Error::Throttled { retry_after }) => {
            Ok(Err(count(layout.texts.sign_in_throttled, retry_after.as_secs() + 1)))
        }
        Err(other) => Err(other.into()),
    }
}

/// Returns the new password of a form.
///
/// # Errors
/// The message for the page if the two inputs differ or the password is not allowed.
pub fn new_password(fields: &mut FormFields, layout: &Layout) -> Result<Password, &'static str> {
    let (password, again) = (fields.take("password"), fields.take("again"));
    if password != again {
        return Err(layout.texts.password_mismatch);
    }
    let password = Password::parse(password.into()).ok();
    let long_enough = password.filter(|password| !password.is_short());
    long_enough.ok_or(layout.texts.bad_password)
}
