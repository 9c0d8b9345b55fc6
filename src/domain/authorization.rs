//! Who may do what to which token.

use super::{
    caller::Caller,
    cidr::CidrBlocks,
    clock::Timestamp,
    expiry::Expiry,
    permission::{Permission, PermissionSet},
    token::Token,
};

/// What a caller wants to do.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    /// See tokens, or one.
    Read,
    /// Make a token that holds this.
    Create(Grant<'a>),
    /// Give a token this, and perhaps another name or expiry.
    Update(Grant<'a>),
    /// Rotate a token, and optionally change its expiry.
    Rotate {
        /// The new expiry, if it changes.
        expires_at: Option<Expiry>,
    },
    /// Remove a token.
    Delete,
    /// See what has been done.
    ReadEvents,
}

/// What a token would be given; nothing where a part stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grant<'a> {
    /// The permissions it would hold.
    pub permissions: Option<PermissionSet>,
    /// The blocks it would be limited to.
    pub allowed_cidr_blocks: Option<&'a CidrBlocks>,
    /// The expiry.
    pub expires_at: Option<Expiry>,
}

/// Why a caller may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The token lacks the permission that the operation needs.
    #[error("this needs the permission {} ({})", .0.name(), .0.display_name())]
    MissingPermission(Permission),
    /// What only admins may do.
    #[error("this is for admins alone")]
    NotAdmin,
    /// The token would give away what it does not hold.
    #[error("a token grants only permissions that it holds; this one lacks {0}")]
    ExcessPermissions(PermissionSet),
    /// The token would touch one that may do more than itself.
    #[error("a token changes only tokens whose permissions it holds; this one lacks {0}")]
    TargetPermissions(PermissionSet),
    /// The token would set blocks that are wider than its own.
    #[error("allowedCIDRBlocks must lie within the caller's own: {0}")]
    ExcessBlocks(CidrBlocks),
    /// The token would create or prolong a token beyond its own expiry.
    #[error("expiresAt must not be later than the caller's own: {0}")]
    ExcessLifetime(Timestamp),
    /// The token would touch one that may be used from where itself may not.
    #[error("a token changes only tokens whose CIDR blocks lie within its own: {0}")]
    TargetBlocks(CidrBlocks),
}

/// Decides whether `caller` may do `operation` to `target`: the one place where rights are decided.
///
/// `target` is absent when the operation is on no single token, or on one that does not exist. Admins and the command line are
/// free. A token reads itself and rotates itself without any permission, unless it prolongs itself; otherwise it needs the permission of
/// the operation. It never grants more than it has or changes a token that has more, and never creates or prolongs a token beyond its own
/// expiry.
///
/// # Errors
/// Says what is missing.
pub fn authorize(caller: &Caller, operation: Operation<'_>, target: Option<&Token>) -> Result<(), Denied> {
    let Caller::Token(caller, _) = caller else {
        return Ok(());
    };
    let itself = target.is_some_and(|target| target.id == caller.id);
    match operation {
        Operation::ReadEvents => Err(Denied::NotAdmin),
        Operation::Read if itself => Ok(()),
        Operation::Rotate { expires_at } if itself && !prolongs(expires_at, target) => Ok(()),
        Operation::Read => require_permission(caller, Permission::OrganizationAPITokenRead),
        Operation::Create(grant) | Operation::Update(grant) => {
            require_permission(caller, Permission::OrganizationAPITokenModify)?;
            check_target(caller, target)?;
            check_grant(caller, grant)?;
            check_expiry(caller, grant.expires_at, target)
        }
        Operation::Rotate { expires_at } => {
            require_permission(caller, Permission::OrganizationAPITokenModify)?;
            check_target(caller, target)?;
            check_expiry(caller, expires_at, target)
        }
        Operation::Delete => {
            require_permission(caller, Permission::OrganizationAPITokenModify)?;
            check_target(caller, target)
        }
    }
}

/// Decides whether `token` holds all that is `required`.
///
/// # Errors
/// Names the first permission that it lacks.
pub fn require_permissions(token: &Token, required: PermissionSet) -> Result<(), Denied> {
    let missing = required.minus(token.permissions).iter().next();
    missing.map_or(Ok(()), |permission| Err(Denied::MissingPermission(permission)))
}

fn require_permission(caller: &Token, permission: Permission) -> Result<(), Denied> {
    require_permissions(caller, PermissionSet::default().with(permission, true))
}

fn check_target(caller: &Token, target: Option<&Token>) -> Result<(), Denied> {
    let Some(target) = target else { return Ok(()) };
    let beyond = target.permissions.minus(caller.permissions);
    if !beyond.is_empty() {
        return Err(Denied::TargetPermissions(beyond));
    }
    if !target.allowed_cidr_blocks.is_subset_of(&caller.allowed_cidr_blocks) {
        return Err(Denied::TargetBlocks(caller.allowed_cidr_blocks.clone()));
    }
    Ok(())
}

/// Returns `true` if this expiry is later than the token's current one. A token that does not exist yet is always prolonged.
fn prolongs(expires_at: Option<Expiry>, target: Option<&Token>) -> bool {
    expires_at.is_some_and(|new| target.is_none_or(|target| new > target.expires_at))
}

fn check_expiry(caller: &Token, expires_at: Option<Expiry>, target: Option<&Token>) -> Result<(), Denied> {
    match caller.expires_at {
        Expiry::At(own) if expires_at > Some(Expiry::At(own)) && prolongs(expires_at, target) => {
            Err(Denied::ExcessLifetime(own))
        }
        Expiry::At(_) | Expiry::Never => Ok(()),
    }
}

fn check_grant(caller: &Token, grant: Grant<'_>) -> Result<(), Denied> {
    let beyond = grant.permissions.unwrap_or_default().minus(caller.permissions);
    if !beyond.is_empty() {
        return Err(Denied::ExcessPermissions(beyond));
    }
    match grant.allowed_cidr_blocks {
        Some(blocks) if !blocks.is_subset_of(&caller.allowed_cidr_blocks) => {
            Err(Denied::ExcessBlocks(caller.allowed_cidr_blocks.clone()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::value::ValueHash;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000 + hour * 3_600_000_000).unwrap()
    }

    fn token(expires_at: Expiry) -> Token {
        Token {
            permissions: PermissionSet::token_management(),
            expires_at,
            ..Token::sample(at(0))
        }
    }

    #[test]
    fn a_token_cannot_grant_an_expiry_beyond_its_own() {
        let until = |hour| Expiry::At(at(hour));
        let own = until(5);
        let caller = token(own);
        let by_caller = Caller::Token(Arc::new(caller.clone()), ValueHash::from_bytes(&[1; 32]).unwrap());
        let grant = |expires_at| Grant {
            expires_at,
            ..Grant::default()
        };
        let (ends_before, ends_after, endless) = (token(until(4)), token(until(9)), token(Expiry::Never));
        // The requested expiry, the target, and the expected permission.
        for (expires_at, target, allowed) in [
            (Some(own), None, true),
            (Some(until(4)), None, true),
            (Some(until(6)), None, false),
            (Some(Expiry::Never), None, false),
            (None, Some(&endless), true),
            (None, Some(&ends_after), true),
            (Some(own), Some(&ends_before), true),
            (Some(until(6)), Some(&ends_before), false),
            (Some(Expiry::Never), Some(&ends_before), false),
            (Some(until(10)), Some(&ends_after), false),
            // These do not extend the lifetime.
            (Some(until(8)), Some(&ends_after), true),
            (Some(until(9)), Some(&ends_after), true),
            (Some(Expiry::Never), Some(&endless), true),
            (Some(until(6)), Some(&caller), false),
        ] {
            let update = target.map_or_else(
                || Operation::Create(grant(expires_at)),
                |_| Operation::Update(grant(expires_at)),
            );
            let expected = if allowed {
                Ok(())
            } else {
                Err(Denied::ExcessLifetime(at(5)))
            };
            assert_eq!(authorize(&by_caller, update, target), expected, "{update:?}");
            if target.is_some() {
                let rotate = Operation::Rotate { expires_at };
                assert_eq!(authorize(&by_caller, rotate, target), expected, "{rotate:?}");
            }
            assert_eq!(authorize(&Caller::CommandLine, update, target), Ok(()));
        }
    }
}
