//! The contents of the form, as typed.

use super::choices::{ExpiryChoice, PermissionPreset};
use crate::{
    domain::{
        annotation::{Description, Owner},
        expiry::Expiry,
        permission::{Permission, PermissionSet},
        token::Token,
    },
    http::{
        console::{display_time::format_datetime_local, fields::FormFields},
        error::ApiError,
    },
};

/// The contents of the form, as typed.
#[derive(Clone, Default)]
pub struct FormValues {
    /// The name.
    pub name: String,
    /// The description, with line feeds.
    pub description: String,
    /// The owner.
    pub owner: String,
    /// The CIDR blocks, separated by white space or commas.
    pub blocks: String,
    /// The preset of permissions.
    pub preset: PermissionPreset,
    /// The names of the permissions whose boxes are checked.
    pub permissions: Vec<String>,
    /// The chosen expiry.
    pub expiry: ExpiryChoice,
    /// The time for [`ExpiryChoice::At`], in UTC.
    pub expires: String,
}

impl FormValues {
    /// Reads a submitted form. Fields that are absent count as empty.
    ///
    /// # Errors
    /// 403 for a choice that the form does not offer.
    pub fn from_fields(fields: &FormFields) -> Result<Self, ApiError> {
        let expires = fields.text("expires").trim();
        let preset = match fields.text("preset") {
            "" => Some(PermissionPreset::Custom),
            name => PermissionPreset::from_name(name),
        };
        let expiry = match fields.text("expiry") {
            "" if expires.is_empty() => Some(ExpiryChoice::Never),
            "" => Some(ExpiryChoice::At),
            name => ExpiryChoice::from_name(name),
        };
        Ok(Self {
            name: fields.text("name").to_owned(),
            // Browsers send line ends as CRLF.
            description: fields.text("description").replace("\r\n", "\n"),
            owner: fields.text("owner").to_owned(),
            blocks: fields.text("blocks").to_owned(),
            preset: preset.ok_or_else(FormFields::refusal)?,
            permissions: fields.all("permission").map(ToOwned::to_owned).collect(),
            expiry: expiry.ok_or_else(FormFields::refusal)?,
            expires: expires.to_owned(),
        })
    }

    /// Returns the contents of the form that edits a token.
    pub fn of_token(token: &Token) -> Self {
        let Token {
            name,
            permissions,
            allowed_cidr_blocks,
            expires_at,
            description,
            owner,
            // The form does not change these.
            version: _,
            id: _,
            created: _,
            updated: _,
            rotated_at: _,
            last_used_at: _,
            has_value: _,
            disabled_at: _,
        } = token;
        let blocks: Vec<_> = allowed_cidr_blocks.iter().map(ToString::to_string).collect();
        let description = description.as_ref().map(Description::as_str);
        Self {
            name: name.as_str().to_owned(),
            description: description.unwrap_or_default().to_owned(),
            owner: owner.as_ref().map(Owner::as_str).unwrap_or_default().to_owned(),
            blocks: blocks.join("\n"),
            preset: PermissionPreset::of(*permissions),
            permissions: permissions.iter().map(|one| one.name().to_owned()).collect(),
            expiry: match expires_at {
                Expiry::Never => ExpiryChoice::Never,
                Expiry::At(_) => ExpiryChoice::At,
            },
            expires: format_datetime_local(expires_at.time()),
        }
    }

    /// Returns the permissions whose boxes the form shows as checked: those of the preset, or the known ones among
    /// those that were checked.
    pub fn checked_permissions(&self) -> PermissionSet {
        let known = self.permissions.iter().filter_map(|name| Permission::from_name(name));
        let checked = known.fold(PermissionSet::default(), |set, permission| set.with(permission, true));
        self.preset.permissions().unwrap_or(checked)
    }
}
