//! Who makes a call.

use std::sync::Arc;

use super::{
    actor::{Actor, ActorKind, Channel, Origin},
    admin::Admin,
    token::Token,
    value::ValueHash,
};

/// Who makes a call, as far as they have shown it.
#[derive(Clone, Debug)]
pub enum Caller {
    /// An admin, with the password hash that their password matched.
    Admin(Admin),
    /// A token, with the hash of the value that was presented.
    Token(Arc<Token>, ValueHash),
    /// Somebody at the server's own command line.
    CommandLine,
}

impl Caller {
    /// As whom the caller is remembered.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Admin(admin) => Actor {
                id: admin.name.as_str().to_owned(),
                kind: ActorKind::User,
            },
            Self::Token(token, _) => Actor {
                id: token.id.to_string(),
                kind: ActorKind::ApiToken,
            },
            Self::CommandLine => Actor {
                id: Channel::Cli.name().to_owned(),
                kind: ActorKind::System,
            },
        }
    }
}

/// A call: who, and from where.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who.
    pub caller: Caller,
    /// From where.
    pub origin: Origin,
}
