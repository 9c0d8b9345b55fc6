//! Who may do what to which token.

use super::{
    caller::Caller,
    cidr::CidrBlocks,
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
    /// Give a token a new value.
    Rotate {
        /// Whether the token would live longer than before.
        prolongs: bool,
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
}

/// Why a caller may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The token lacks the permission that the operation needs.
    #[error("this needs the permission {} ({})", .0.name(), .0.shown_name())]
    Lacks(Permission),
    /// What only admins may do.
    #[error("this is for admins alone")]
    IsNoAdmin,
    /// The token would give away what it does not hold.
    #[error("a token grants only permissions that it holds; this one lacks {0}")]
    Grants(PermissionSet),
    /// The token would touch one that may do more than itself.
    #[error("a token changes only tokens whose permissions it holds; this one lacks {0}")]
    TouchesPermissions(PermissionSet),
    /// The token would set blocks that are wider than its own.
    #[error("allowedCIDRBlocks must lie within the caller's own: {0}")]
    Widens(CidrBlocks),
    /// The token would touch one that may be used from where itself may not.
    #[error("a token changes only tokens whose CIDR blocks lie within its own: {0}")]
    TouchesBlocks(CidrBlocks),
}

/// Decides whether `caller` may do `operation` to `target`: the one place where rights are decided.
///
/// `target` is absent when the operation is on no single token, or on one that does not exist. Admins and the command line are
/// free. A token reads itself and rotates itself without any permission; otherwise it needs the permission of the operation,
/// and it never gives or touches more than it has.
///
/// # Errors
/// Says what is missing.
pub fn authorize(caller: &Caller, operation: Operation<'_>, target: Option<&Token>) -> Result<(), Denied> {
    let Caller::Token(caller, _) = caller else {
        return Ok(());
    };
    let itself = target.is_some_and(|target| target.id == caller.id);
    match operation {
        Operation::ReadEvents => Err(Denied::IsNoAdmin),
        Operation::Read | Operation::Rotate { prolongs: false } if itself => Ok(()),
        Operation::Read => need(caller, Permission::OrganizationAPITokenRead),
        Operation::Create(grant) | Operation::Update(grant) => {
            need(caller, Permission::OrganizationAPITokenModify)?;
            may_touch(caller, target)?;
            may_grant(caller, grant)
        }
        Operation::Rotate { .. } | Operation::Delete => {
            need(caller, Permission::OrganizationAPITokenModify)?;
            may_touch(caller, target)
        }
    }
}

/// Decides whether `token` holds all that is `required`.
///
/// # Errors
/// Names the first permission that it lacks.
pub fn hold(token: &Token, required: PermissionSet) -> Result<(), Denied> {
    let missing = required.minus(token.permissions).iter().next();
    missing.map_or(Ok(()), |permission| Err(Denied::Lacks(permission)))
}

fn need(caller: &Token, permission: Permission) -> Result<(), Denied> {
    hold(caller, PermissionSet::default().with(permission, true))
}

fn may_touch(caller: &Token, target: Option<&Token>) -> Result<(), Denied> {
    let Some(target) = target else { return Ok(()) };
    let beyond = target.permissions.minus(caller.permissions);
    if !beyond.is_empty() {
        return Err(Denied::TouchesPermissions(beyond));
    }
    if !target.allowed_cidr_blocks.lie_within(&caller.allowed_cidr_blocks) {
        return Err(Denied::TouchesBlocks(caller.allowed_cidr_blocks.clone()));
    }
    Ok(())
}

fn may_grant(caller: &Token, grant: Grant<'_>) -> Result<(), Denied> {
    let beyond = grant.permissions.unwrap_or_default().minus(caller.permissions);
    if !beyond.is_empty() {
        return Err(Denied::Grants(beyond));
    }
    match grant.allowed_cidr_blocks {
        Some(blocks) if !blocks.lie_within(&caller.allowed_cidr_blocks) => {
            Err(Denied::Widens(caller.allowed_cidr_blocks.clone()))
        }
        _ => Ok(()),
    }
}
