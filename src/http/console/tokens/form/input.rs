//! Validates the contents of the form.

use std::net::IpAddr;

use super::{choices::ExpiryChoice, values::FormValues};
use crate::{
    domain::{
        Invalid,
        annotation::{Description, Owner},
        cidr::CidrBlocks,
        clock::Timestamp,
        expiry::Expiry,
        name::TokenName,
        patch::Patch,
        permission::PermissionSet,
        text_type::TextProblem,
    },
    http::console::{
        display_time::{format_datetime_local, parse_datetime_local},
        layout::Layout,
        text::fill,
        text_problems::explain,
        texts::Texts,
    },
};

/// The validated contents of the form.
pub struct TokenInput {
    /// The name.
    pub name: TokenName,
    /// The permissions.
    pub permissions: PermissionSet,
    /// The CIDR blocks.
    pub blocks: CidrBlocks,
    /// The expiry.
    pub expires_at: Expiry,
    /// The description: set or cleared.
    pub description: Patch<Description>,
    /// The owner: set or cleared.
    pub owner: Patch<Owner>,
}

/// The error of a field.
pub struct FieldError {
    /// The ID of the field in the page.
    pub field: &'static str,
    /// The message.
    pub message: String,
}

/// The errors that were found so far.
#[derive(Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    /// Records `message` for a field that is invalid. The error itself is in the terms of the API, and in English.
    fn check<T>(&mut self, field: &'static str, message: &str, parsed: Result<T, Invalid>) -> Option<T> {
        parsed.map_err(|_| self.record(field, message.to_owned())).ok()
    }

    /// Records the rule that the text of a field breaks.
    fn check_text<T>(
        &mut self,
        (field, label): (&'static str, &str),
        texts: &Texts,
        parsed: Result<T, TextProblem>,
    ) -> Option<T> {
        let parsed = parsed.map_err(|problem| self.record(field, explain(problem, label, texts)));
        parsed.ok()
    }

    fn record(&mut self, field: &'static str, message: String) {
        self.0.push(FieldError { field, message });
    }
}

impl TokenInput {
    /// Validates the contents. An expiry that equals `before` to the second counts as unchanged, because the field has
    /// no finer resolution.
    ///
    /// # Errors
    /// The errors of all fields.
    pub fn parse(values: &FormValues, layout: &Layout, before: Expiry) -> Result<Self, Vec<FieldError>> {
        let texts = layout.texts;
        let mut errors = Errors::default();
        let name = errors.check_text(("name", texts.name), texts, TokenName::parse(&values.name));
        let description = optional(&values.description, Description::parse);
        let description = errors.check_text(("description", texts.description), texts, description);
        let owner = errors.check_text(("owner", texts.owner), texts, optional(&values.owner, Owner::parse));
        let blocks = values
            .blocks
            .split(|letter: char| letter.is_whitespace() || letter == ',');
        let blocks: Vec<&str> = blocks.filter(|one| !one.is_empty()).collect();
        let blocks = errors.check("blocks", &explain_blocks(&blocks, texts), CidrBlocks::parse(&blocks));
        let permissions = match values.preset.permissions() {
            Some(permissions) => Ok(permissions),
            None => PermissionSet::parse(&values.permissions),
        };
        let permissions = errors.check("permissions", texts.bad_permissions, permissions);
        let expires_at = parse_expiry(values, layout.now, before);
        let expires_at = errors.check("expires", texts.bad_expiry, expires_at);
        match (name, permissions, blocks, expires_at, description, owner) {
            (Some(name), Some(permissions), Some(blocks), Some(expires_at), Some(description), Some(owner)) => {
                Ok(Self {
                    name,
                    permissions,
                    blocks,
                    expires_at,
                    description,
                    owner,
                })
            }
            _ => Err(errors.0),
        }
    }
}

/// Parses a text that may be empty, which clears the field.
fn optional<T>(text: &str, parse: fn(&str) -> Result<T, TextProblem>) -> Result<Patch<T>, TextProblem> {
    if text.is_empty() {
        Ok(Patch::Clear)
    } else {
        parse(text).map(Patch::Set)
    }
}

/// Says which of the blocks is wrong, and how to correct it; otherwise they are too many.
fn explain_blocks(blocks: &[&str], texts: &Texts) -> String {
    let Some(wrong) = blocks.iter().find(|block| CidrBlocks::parse([**block]).is_err()) else {
        return texts.too_many_blocks.to_owned();
    };
    let correction = wrong.parse::<IpAddr>().map(|address| {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        fill(texts.blocks_write, [&format!("{address}/{bits}")])
    });
    fill(texts.blocks_bad, [wrong]) + &correction.unwrap_or_default() + "."
}

fn parse_expiry(values: &FormValues, now: Timestamp, before: Expiry) -> Result<Expiry, Invalid> {
    match values.expiry {
        ExpiryChoice::Never => Ok(Expiry::Never),
        ExpiryChoice::Days(days) => Ok(Expiry::At(ExpiryChoice::after_days(days, now))),
        ExpiryChoice::At => {
            let typed = parse_datetime_local("expiresAt", &values.expires)?;
            let typed = typed.ok_or_else(|| Invalid::new("expiresAt", "is missing"))?;
            if format_datetime_local(Some(typed)) == format_datetime_local(before.time()) {
                return Ok(before);
            }
            Expiry::At(typed).require_future(now)
        }
    }
}
