//! Changes to a token.

use crate::domain::{
    Invalid,
    annotation::{Description, Owner},
    cidr::CidrBlocks,
    clock::Timestamp,
    expiry::Expiry,
    name::TokenName,
    patch::Patch,
    permission::{Permission, PermissionSet},
    precondition::Precondition,
    token::Token,
};

/// Changes to a token. Fields that are `None` or [`Patch::Keep`] stay unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenChanges {
    /// The new name.
    pub name: Option<TokenName>,
    /// The change of the permissions.
    pub permissions: Option<PermissionChange>,
    /// The new blocks.
    pub allowed_cidr_blocks: Option<CidrBlocks>,
    /// The new expiry.
    pub expires_at: Option<Expiry>,
    /// The change of the description.
    pub description: Patch<Description>,
    /// The change of the owner.
    pub owner: Patch<Owner>,
    /// `true` to refuse every use from now on, `false` to allow it.
    pub disabled: Option<bool>,
    /// The states that the token may be changed from.
    pub precondition: Precondition,
}

impl TokenChanges {
    /// Returns `true` if no field is to be changed. A precondition changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            name,
            permissions,
            allowed_cidr_blocks,
            expires_at,
            description,
            owner,
            disabled,
            precondition: _,
        } = self;
        name.is_none()
            && permissions.is_none()
            && allowed_cidr_blocks.is_none()
            && expires_at.is_none()
            && *description == Patch::Keep
            && *owner == Patch::Keep
            && disabled.is_none()
    }

    /// Returns `before` with these changes, made at `now`. The version and the last update stay those of `before`.
    ///
    /// # Errors
    /// [`Invalid`] if the new expiry has passed.
    pub(super) fn apply(self, before: &Token, now: Timestamp) -> Result<Token, Invalid> {
        let Self {
            name,
            permissions,
            allowed_cidr_blocks,
            expires_at,
            description,
            owner,
            disabled,
            precondition: _,
        } = self;
        // An unchanged expiry may be in the past: a client can send back an expired token.
        let expires_at = expires_at.filter(|new| *new != before.expires_at);
        // Exhaustive, so that a new field does not compile until an update changes or keeps it.
        Ok(Token {
            id: before.id,
            name: name.unwrap_or_else(|| before.name.clone()),
            permissions: permissions.map_or(before.permissions, |change| change.apply(before.permissions)),
            allowed_cidr_blocks: allowed_cidr_blocks.unwrap_or_else(|| before.allowed_cidr_blocks.clone()),
            has_value: before.has_value,
            created: before.created.clone(),
            updated: before.updated.clone(),
            rotated_at: before.rotated_at,
            last_used_at: before.last_used_at,
            expires_at: expires_at.map_or(Ok(before.expires_at), |new| new.require_future(now))?,
            description: description.apply(before.description.clone()),
            owner: owner.apply(before.owner.clone()),
            disabled_at: match disabled {
                None => before.disabled_at,
                Some(true) => before.disabled_at.or(Some(now)),
                Some(false) => None,
            },
            version: before.version,
        })
    }
}

/// A change of a token's permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermissionChange {
    /// Replaces all permissions.
    Replace(PermissionSet),
    /// Adds or removes the two permissions that the legacy API shows.
    Legacy {
        /// `true` to add the permission to read tokens, `false` to remove it.
        read: Option<bool>,
        /// `true` to add the permission to modify tokens, `false` to remove it.
        change: Option<bool>,
    },
}

impl PermissionChange {
    pub(super) fn apply(self, current: PermissionSet) -> PermissionSet {
        match self {
            Self::Replace(permissions) => permissions,
            Self::Legacy { read, change } => {
                let set = |permissions: PermissionSet, permission, held: Option<bool>| match held {
                    Some(held) => permissions.with(permission, held),
                    None => permissions,
                };
                let permissions = set(current, Permission::OrganizationAPITokenRead, read);
                set(permissions, Permission::OrganizationAPITokenModify, change)
            }
        }
    }
}
