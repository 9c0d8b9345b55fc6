//! The form to create and to edit a token.

pub mod choices;
pub mod conflict;
pub mod input;
pub mod values;

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;

use crate::{
    domain::token::{Token, TokenVersion},
    http::{
        console::{
            fields::FormFields,
            layout::Layout,
            paths::Back,
            permissions::{PermissionGroup, permission_groups},
            render_page_with_status,
        },
        error::ApiError,
    },
};
use choices::{Choice, expiry_choices, permission_choices};
use conflict::Conflict;
use input::FieldError;
use values::FormValues;

/// The page with the form.
#[derive(Template)]
#[template(path = "token_form.html")]
pub struct FormPage {
    layout: Layout,
    title: String,
    /// The path of the page, to which the form is submitted.
    action: String,
    /// The page to return to.
    back: Back,
    /// The link to that page.
    cancel: String,
    /// Name and value of a hidden field: the mark of a form for a new token, or the version of the
    /// token that the form edits.
    identity: (&'static str, String),
    is_new: bool,
    values: FormValues,
    presets: Vec<Choice>,
    groups: Vec<PermissionGroup>,
    expiries: Vec<Choice>,
    errors: Vec<FieldError>,
    /// `true` if the form was submitted after its session had ended.
    is_resumed: bool,
    conflict: Option<Conflict>,
}

impl FormPage {
    fn new(layout: Layout, back: Back, values: FormValues) -> Self {
        Self {
            title: layout.texts.new_token.to_owned(),
            action: format!("{}/tokens/new", layout.base),
            cancel: back.link(&layout.base),
            back,
            identity: ("mark", String::new()),
            is_new: true,
            presets: permission_choices(values.preset, &layout),
            groups: permission_groups(values.checked_permissions(), layout.texts),
            expiries: expiry_choices(values.expiry, &layout),
            errors: Vec::new(),
            is_resumed: false,
            conflict: None,
            values,
            layout,
        }
    }

    /// Creates the form for a new token. Each form has its own random mark, from which the ID of the token is derived.
    pub fn for_new_token(layout: Layout, mark: String, back: Back, values: FormValues) -> Self {
        Self {
            identity: ("mark", mark),
            ..Self::new(layout, back, values)
        }
    }

    /// Creates the form that edits `token`, if it still has this version when it is submitted.
    pub fn for_token(layout: Layout, token: &Token, version: TokenVersion, back: Back, values: FormValues) -> Self {
        Self {
            title: layout.fill(layout.texts.edit_token, token.name.as_str()),
            action: format!("{}/tokens/{}/edit", layout.base, token.id),
            identity: ("version", version.to_string()),
            is_new: false,
            ..Self::new(layout, back, values)
        }
    }

    /// Returns the page with these errors.
    pub fn with_errors(self, errors: Vec<FieldError>) -> Self {
        Self { errors, ..self }
    }

    /// Returns the page with the differences from the saved token.
    pub fn with_conflict(self, conflict: Conflict) -> Self {
        Self {
            conflict: Some(conflict),
            ..self
        }
    }

    /// Renders the page.
    ///
    /// # Errors
    /// 500 if the template fails.
    pub fn render_with_status(&self, status: StatusCode) -> Result<HttpResponse, ApiError> {
        render_page_with_status(status, self)
    }

    /// Renders the page for contents that were submitted after their session had ended.
    ///
    /// # Errors
    /// 500 if the template fails.
    pub fn render_resumed(self) -> Result<HttpResponse, ApiError> {
        let page = Self {
            is_resumed: true,
            ..self
        };
        page.render_with_status(StatusCode::OK)
    }

    fn error_in(&self, field: &str) -> Option<&FieldError> {
        self.errors.iter().find(|error| error.field == field)
    }
}

/// Parses the hidden version of a form.
///
/// # Errors
/// 403 for a form that the console did not render.
pub fn parse_version(text: &str) -> Result<TokenVersion, ApiError> {
    let version = text.parse().ok().and_then(TokenVersion::from_number);
    version.ok_or_else(FormFields::refusal)
}
