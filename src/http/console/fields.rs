//! The fields of the console's forms.

use actix_web::{HttpRequest, dev::Payload};
use futures_util::future::LocalBoxFuture;

use super::paths::encode_pairs;
use crate::{
    domain::session::SessionKey,
    http::{
        error::ApiError,
        extract::{Input, form::Form, query},
    },
};

/// The hidden field with the anti-CSRF token.
const FORM_KEY: &str = "formKey";

/// The fields of a form. A name can occur more than once.
pub struct FormFields(Vec<(String, String)>);

impl Input for FormFields {
    fn read<'r>(request: &'r HttpRequest, payload: &'r mut Payload) -> LocalBoxFuture<'r, Result<Self, ApiError>> {
        Box::pin(async move { Ok(Self(Form::read(request, payload).await?.0)) })
    }
}

impl FormFields {
    /// Parses the output of [`FormFields::encode`]. Anything else has no fields.
    pub fn parse(text: &str) -> Self {
        Self(query::parse(text).unwrap_or_default())
    }

    /// Returns the fields in one text, without the anti-CSRF token.
    pub fn encode(&self) -> String {
        let kept = self.0.iter().filter(|(name, _)| name != FORM_KEY);
        encode_pairs(kept.map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// Returns the value of the first field with this name, or an empty text.
    pub fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// Returns the values of all fields with this name.
    pub fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        let of_name = self.0.iter().filter(move |(known, _)| known == name);
        of_name.map(|(_, value)| value.as_str())
    }

    /// Takes the value of the first field with this name.
    pub fn take(&mut self, name: &str) -> String {
        let found = self.0.iter_mut().find(|(known, _)| known == name);
        found.map(|(_, value)| std::mem::take(value)).unwrap_or_default()
    }

    /// Checks that the form comes from a page that this server rendered for the browser with `key`.
    ///
    /// # Errors
    /// 403 if it does not: another site may have submitted it with the browser of a signed-in admin
    /// (CSRF).
    pub fn check(&self, key: &SessionKey) -> Result<(), ApiError> {
        if key.accepts_csrf_token(self.text(FORM_KEY)) {
            Ok(())
        } else {
            Err(Self::refusal())
        }
    }

    /// Returns the 403 error for a form that may come from another site.
    pub fn refusal() -> ApiError {
        ApiError::forbidden("this form is out of date, or came from elsewhere")
    }
}
