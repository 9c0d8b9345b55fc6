//! Requests to create and to rotate a token.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    domain::{
        annotation::{Description, Owner},
        caller::Caller,
        cidr::CidrBlocks,
        expiry::Expiry,
        name::TokenName,
        permission::PermissionSet,
        precondition::Precondition,
        token::{Attribution, Token, TokenId, TokenVersion},
    },
    service::transaction::Transaction,
};

/// The fields of a token to create.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The ID, for a caller that must not create the token twice; `None` to generate one.
    pub id: Option<TokenId>,
    /// The name.
    pub name: TokenName,
    /// The permissions; `None` for the caller's own.
    pub permissions: Option<PermissionSet>,
    /// The CIDR blocks; `None` for the caller's own.
    pub allowed_cidr_blocks: Option<CidrBlocks>,
    /// The expiry; `None` for the caller's own.
    pub expires_at: Option<Expiry>,
    /// The description: what the token is for.
    pub description: Option<Description>,
    /// The person or team to ask about it.
    pub owner: Option<Owner>,
    /// `true` to refuse every use until an update enables the token.
    pub disabled: bool,
}

impl NewToken {
    /// Creates the token, with the defaults of the caller of `tx`.
    pub(super) fn into_token(self, id: TokenId, has_value: bool, tx: &Transaction<'_>) -> Token {
        let Self {
            id: _,
            name,
            permissions,
            allowed_cidr_blocks,
            expires_at,
            description,
            owner,
            disabled,
        } = self;
        let (own_permissions, own_blocks, own_expiry) = match &tx.caller {
            Caller::Token(token, _) => (token.permissions, token.allowed_cidr_blocks.clone(), token.expires_at),
            Caller::Admin(_) | Caller::Holder(..) | Caller::CommandLine | Caller::LegacyLogin => {
                (PermissionSet::token_management(), CidrBlocks::default(), Expiry::Never)
            }
        };
        Token {
            id,
            name,
            permissions: permissions.unwrap_or(own_permissions),
            allowed_cidr_blocks: allowed_cidr_blocks.unwrap_or(own_blocks),
            has_value,
            created: Attribution {
                at: tx.now,
                by: tx.caller.actor(),
            },
            updated: None,
            rotated_at: None,
            last_used_at: None,
            expires_at: expires_at.unwrap_or(own_expiry),
            description,
            owner,
            disabled_at: disabled.then_some(tx.now),
            version: TokenVersion::FIRST,
        }
    }

    /// Returns the fields in a canonical form, to recognize a repeated request.
    pub(super) fn payload(&self) -> Value {
        // Exhaustive, so that a new field does not compile until it distinguishes requests.
        let Self {
            id,
            name,
            permissions,
            allowed_cidr_blocks,
            expires_at,
            description,
            owner,
            disabled,
        } = self;
        json!({
            "id": id,
            "name": name.as_str(),
            "permissions": permissions,
            "allowedCIDRBlocks": allowed_cidr_blocks,
            "expiresAt": expires_at.map(expiry_payload),
            "description": description.as_ref().map(Description::as_str),
            "owner": owner.as_ref().map(Owner::as_str),
            "disabled": disabled,
        })
    }
}

/// The options of a rotation.
#[derive(Clone, Debug, Default)]
pub struct Rotation {
    /// Time for which the previous value stays valid.
    pub grace_period: Duration,
    /// The new expiry, if it changes.
    pub expires_at: Option<Expiry>,
    /// The states that the token may be rotated from.
    pub precondition: Precondition,
}

impl Rotation {
    /// Returns the options in a canonical form, to recognize a repeated request.
    pub(super) fn payload(&self) -> Value {
        let Self {
            grace_period,
            expires_at,
            // A precondition selects the state to change, not the change.
            precondition: _,
        } = self;
        json!({ "gracePeriodSeconds": grace_period.as_secs(), "expiresAt": expires_at.map(expiry_payload) })
    }
}

/// Distinguishes a token that does not expire from an expiry that was left out.
fn expiry_payload(expiry: Expiry) -> Value {
    expiry.time().map_or_else(|| json!("never"), |time| json!(time))
}
