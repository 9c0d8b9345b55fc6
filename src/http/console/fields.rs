//! What the console's forms send.

use actix_web::{HttpRequest, dev::Payload};
use futures_util::future::LocalBoxFuture;

use crate::{
    domain::session::SessionKey,
    http::{
        error::ApiError,
        extract::{Body, form::Form},
    },
};

/// The field by which a form shows that it is one of ours.
const FORM_KEY: &str = "formKey";

/// The fields of a form, in which a name can stand more than once.
pub struct FormFields(Vec<(String, String)>);

impl Body for FormFields {
    fn read(request: &HttpRequest, payload: Payload) -> LocalBoxFuture<'_, Result<Self, ApiError>> {
        Box::pin(async move { Ok(Self(Form::read(request, payload).await?.0)) })
    }
}

impl FormFields {
    /// What stands in the field of that name; nothing if it is not there.
    pub fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// What stands in all fields of that name.
    pub fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        let of_name = self.0.iter().filter(move |(known, _)| known == name);
        of_name.map(|(_, value)| value.as_str())
    }

    /// Takes what stands in the field of that name.
    pub fn take(&mut self, name: &str) -> String {
        let found = self.0.iter_mut().find(|(known, _)| known == name);
        found.map(|(_, value)| std::mem::take(value)).unwrap_or_default()
    }

    /// Whether the form came from a page that this server has made for the browser of `key`.
    ///
    /// # Errors
    /// 403 when it did not: another site may have sent it in the name of somebody who has signed in.
    pub fn check(&self, key: &SessionKey) -> Result<(), ApiError> {
        // Both are hashes of a secret that whoever guesses does not know: how long it takes to compare them tells nothing.
        if self.text(FORM_KEY) == key.csrf_token() {
            Ok(())
        } else {
            Err(Self::refusal())
        }
    }

    /// 403, for a form that may not have come from a page of this server.
    pub fn refusal() -> ApiError {
        ApiError::forbidden("this form is out of date, or came from elsewhere")
    }
}
