//! Authorization: which caller may do which operation to which token.

use super::{
    admin::{Admin, Role},
    caller::Caller,
    cidr::CidrBlocks,
    clock::Timestamp,
    expiry::Expiry,
    permission::{Permission, PermissionSet},
    token::Token,
};

/// An operation that needs authorization.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    /// Read one token, or list tokens.
    Read,
    /// Create a token with this grant.
    Create(Grant<'a>),
    /// Update a token, which includes this grant.
    Update(Grant<'a>),
    /// Rotate a token, and optionally change its expiry; or end the grace period of one of its previous values.
    Rotate {
        /// The new expiry, if it changes.
        expires_at: Option<Expiry>,
    },
    /// Delete a token.
    Delete,
    /// Delete or update all tokens of a selection, such as those that match a filter. Each of them needs
    /// [`Operation::Delete`] or [`Operation::Update`] as well.
    ChangeMatching,
    /// Introspect a presented value (RFC 7662).
    Introspect,
    /// Revoke a presented value (RFC 7009).
    Revoke,
    /// Read or follow the audit log.
    ReadAudit,
    /// Read the report on the legacy API.
    ReadLegacyUsage,
    /// List admins.
    ReadAdmins,
    /// Add or remove an admin, or change a password or a role.
    ManageAdmins,
    /// Import tokens or admins.
    Import,
    /// Export all tokens.
    Export {
        /// Also export the admins, with the hashes of their passwords.
        with_admins: bool,
    },
    /// Sign in to the console.
    BeginSession,
    /// Change one's own password, and list and end one's own sessions.
    ManageAccount,
}

/// The properties that an operation gives to a token; `None` for those that stay the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grant<'a> {
    /// The permissions.
    pub permissions: Option<PermissionSet>,
    /// The allowed CIDR blocks.
    pub allowed_cidr_blocks: Option<&'a CidrBlocks>,
    /// The expiry.
    pub expires_at: Option<Expiry>,
}

/// The reason why an operation is denied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The token lacks the permission that the operation needs.
    #[error("this request requires the permission {} ({})", .0.name(), .0.display_name())]
    MissingPermission(Permission),
    /// The operation is reserved for admins.
    #[error("only admins may do this")]
    NotAdmin,
    /// The admin's role does not include the operation.
    #[error("this request requires the role {}; yours is {role}", join_names(.needed))]
    MissingRole {
        /// The roles that include it.
        needed: &'static [Role],
        /// The admin's role.
        role: Role,
    },
    /// The caller presents a value, and may do nothing but revoke it.
    #[error("the only operation without authentication is to revoke a value; send credentials")]
    NotAuthenticated,
    /// The token would grant permissions that it lacks.
    #[error("a token can grant only permissions that it holds; the calling token lacks {0}")]
    ExcessPermissions(PermissionSet),
    /// The target holds permissions that the token lacks.
    #[error("a token can change only tokens whose permissions it holds; the calling token lacks {0}")]
    TargetPermissions(PermissionSet),
    /// The token would set CIDR blocks wider than its own.
    #[error("allowedCIDRBlocks must lie within the caller's own: {0}")]
    ExcessBlocks(CidrBlocks),
    /// The token would create or prolong a token beyond its own expiry.
    #[error("expiresAt must not be later than the caller's own: {0}")]
    ExcessLifetime(Timestamp),
    /// The target may be used from addresses from which the token may not.
    #[error("a token can change only tokens whose CIDR blocks lie within its own: {0}")]
    TargetBlocks(CidrBlocks),
}

/// Decides whether `caller` may do `operation` to `target`. Every use case that acts for a caller
/// asks this function. Authentication, and what the server does by itself, need no authorization.
///
/// `target` is `None` when the operation is not on a single token, or on one that does not exist.
/// Callers and operations are matched exhaustively: a new one does not compile until it is decided
/// here.
///
/// # Errors
/// [`Denied`], with the reason.
pub fn authorize(caller: &Caller, operation: Operation<'_>, target: Option<&Token>) -> Result<(), Denied> {
    match caller {
        // Exhaustive, so that a new property of admins is considered here.
        Caller::Admin(Admin {
            name: _,
            password_hash: _,
            password_origin: _,
            role,
        }) => authorize_role(*role, operation),
        Caller::CommandLine => authorize_command_line(operation),
        Caller::LegacyLogin => authorize_legacy_login(operation),
        Caller::Token(token, _) => authorize_token(token, operation, target),
        Caller::Holder(..) => authorize_holder(operation),
    }
}

/// An admin may do what the role includes.
fn authorize_role(role: Role, operation: Operation<'_>) -> Result<(), Denied> {
    let needed: &'static [Role] = match operation {
        // No export of an auditor contains password hashes: a weak password can be guessed from its hash. Anyone who
        // presents a value may revoke it.
        Operation::Read
        | Operation::Revoke
        | Operation::ReadAudit
        | Operation::ReadLegacyUsage
        | Operation::Export { with_admins: false }
        | Operation::BeginSession
        | Operation::ManageAccount => &Role::ALL,
        // An introspection counts as a use of the token.
        Operation::Create(_)
        | Operation::Update(_)
        | Operation::Rotate { .. }
        | Operation::Delete
        | Operation::ChangeMatching
        | Operation::Introspect => &[Role::Admin, Role::Operator],
        Operation::ReadAdmins => &[Role::Admin, Role::Auditor],
        Operation::ManageAdmins | Operation::Import | Operation::Export { with_admins: true } => &[Role::Admin],
    };
    if needed.contains(&role) {
        Ok(())
    } else {
        Err(Denied::MissingRole { needed, role })
    }
}

/// The command line may do everything but sign in: a session belongs to an admin.
const fn authorize_command_line(operation: Operation<'_>) -> Result<(), Denied> {
    match operation {
        Operation::Read
        | Operation::Create(_)
        | Operation::Update(_)
        | Operation::Rotate { .. }
        | Operation::Delete
        | Operation::ChangeMatching
        | Operation::Introspect
        | Operation::Revoke
        | Operation::ReadAudit
        | Operation::ReadLegacyUsage
        | Operation::ReadAdmins
        | Operation::ManageAdmins
        | Operation::Import
        | Operation::Export { .. } => Ok(()),
        Operation::BeginSession | Operation::ManageAccount => Err(Denied::NotAdmin),
    }
}

/// A login at the legacy server adds an admin, or replaces a password that an earlier one set.
const fn authorize_legacy_login(operation: Operation<'_>) -> Result<(), Denied> {
    match operation {
        Operation::ManageAdmins => Ok(()),
        Operation::Read
        | Operation::Create(_)
        | Operation::Update(_)
        | Operation::Rotate { .. }
        | Operation::Delete
        | Operation::ChangeMatching
        | Operation::Introspect
        | Operation::Revoke
        | Operation::ReadAudit
        | Operation::ReadLegacyUsage
        | Operation::ReadAdmins
        | Operation::Import
        | Operation::Export { .. }
        | Operation::BeginSession
        | Operation::ManageAccount => Err(Denied::NotAdmin),
    }
}

/// An unauthenticated client may only revoke the value that it presents, in any state and with any permissions of its
/// token.
const fn authorize_holder(operation: Operation<'_>) -> Result<(), Denied> {
    match operation {
        Operation::Revoke => Ok(()),
        Operation::Read
        | Operation::Create(_)
        | Operation::Update(_)
        | Operation::Rotate { .. }
        | Operation::Delete
        | Operation::ChangeMatching
        | Operation::Introspect
        | Operation::ReadAudit
        | Operation::ReadLegacyUsage
        | Operation::ReadAdmins
        | Operation::ManageAdmins
        | Operation::Import
        | Operation::Export { .. }
        | Operation::BeginSession
        | Operation::ManageAccount => Err(Denied::NotAuthenticated),
    }
}

/// A token reads and rotates itself without any permission, unless it prolongs itself; everything
/// else needs a permission, or is reserved for admins. A token never grants more than it holds,
/// never changes a token that holds more, and never creates or prolongs a token beyond its own
/// expiry.
fn authorize_token(caller: &Token, operation: Operation<'_>, target: Option<&Token>) -> Result<(), Denied> {
    let is_self = target.is_some_and(|target| target.id == caller.id);
    match operation {
        Operation::Read if is_self => Ok(()),
        // Presenting the value is enough.
        Operation::Revoke => Ok(()),
        Operation::Rotate { expires_at } if is_self && !prolongs(expires_at, target) => Ok(()),
        Operation::Read | Operation::Introspect => require_permission(caller, Permission::OrganizationAPITokenRead),
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
        Operation::ChangeMatching => {
            // The number of tokens that match a filter reveals their names, so counting them is
            // reading.
            require_permission(caller, Permission::OrganizationAPITokenRead)?;
            require_permission(caller, Permission::OrganizationAPITokenModify)
        }
        Operation::ReadAudit
        | Operation::ReadLegacyUsage
        | Operation::ReadAdmins
        | Operation::ManageAdmins
        | Operation::Import
        | Operation::Export { .. }
        | Operation::BeginSession
        | Operation::ManageAccount => Err(Denied::NotAdmin),
    }
}

fn join_names(roles: &[Role]) -> String {
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    names.join(" or ")
}

/// Decides whether `token` holds all `required` permissions.
///
/// # Errors
/// [`Denied::MissingPermission`] for the first one that it lacks.
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

/// Returns `true` if this expiry is later than the token's current one. A token that does not exist
/// yet is always prolonged.
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
    let Grant {
        permissions,
        allowed_cidr_blocks,
        // Checked by `check_expiry`, which a rotation needs as well.
        expires_at: _,
    } = grant;
    let beyond = permissions.unwrap_or_default().minus(caller.permissions);
    if !beyond.is_empty() {
        return Err(Denied::ExcessPermissions(beyond));
    }
    match allowed_cidr_blocks {
        Some(blocks) if !blocks.is_subset_of(&caller.allowed_cidr_blocks) => {
            Err(Denied::ExcessBlocks(caller.allowed_cidr_blocks.clone()))
        }
        Some(_) | None => Ok(()),
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
