//! Callers: who makes a call, and from where.

use std::sync::Arc;

use super::{
    actor::{Actor, ActorKind, Channel, Origin},
    admin::{Admin, PasswordOrigin},
    token::{Token, TokenId},
    value::ValueHash,
};

/// The authenticated author of a call.
#[derive(Clone, Debug)]
pub enum Caller {
    /// An admin, with the password hash that their password matched.
    Admin(Admin),
    /// A token, with the hash of the value that was presented.
    Token(Arc<Token>, ValueHash),
    /// A client that presents a value of this token, with the value's hash. The token may be unusable, so it may only
    /// revoke the value.
    Holder(TokenId, ValueHash),
    /// The command line of the server, or the server itself.
    CommandLine,
    /// The server, for an administrator of the legacy server who becomes an admin.
    LegacyLogin,
}

impl Caller {
    /// Returns the actor that tokens and audit events record for this caller.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Admin(admin) => Actor {
                id: admin.name.as_str().to_owned(),
                kind: ActorKind::User,
            },
            Self::Token(token, _) => Actor::token(&token.id),
            Self::Holder(id, _) => Actor::token(id),
            Self::CommandLine => Actor {
                id: Channel::Cli.name().to_owned(),
                kind: ActorKind::System,
            },
            Self::LegacyLogin => Actor {
                id: PasswordOrigin::LegacyLogin.name().to_owned(),
                kind: ActorKind::System,
            },
        }
    }
}

/// The caller and the origin of a call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The caller.
    pub caller: Caller,
    /// The channel and the client address.
    pub origin: Origin,
}
