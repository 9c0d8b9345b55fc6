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
    },
    http::console::{
        display_time::{format_datetime_local, parse_datetime_local},
        layout::Layout,
        text::fill,
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
        let refuse = |_: Invalid| FieldError {
            field,
            message: message.to_owned(),
        };
        parsed.map_err(|invalid| self.0.push(refuse(invalid))).ok()
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
        let name = errors.check("name", texts.bad_name, values.name.parse());
        let description = values.description.parse::<Patch<Description>>();
        let description = errors.check("description", texts.bad_description, description);
        let owner = values.owner.parse::<Patch<Owner>>();
        let owner = errors.check("owner", texts.bad_owner, owner);
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
