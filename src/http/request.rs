//! Facts about a request, kept as its extensions or its route's data.

use std::cell::OnceCell;

use actix_web::HttpRequest;

use crate::domain::{
    actor::{Actor, ActorKind, Channel},
    caller::Caller,
    name::AdminName,
    token::TokenId,
};

/// The prefixes of the legacy API, which are equivalent.
pub const LEGACY_PREFIXES: [(&str, Channel); 4] = [
    ("/rest/agent-config/1.0", Channel::Legacy10),
    ("/rest/agent-config/latest", Channel::Legacy10),
    ("/rest/agent/1.0", Channel::LegacyPre15),
    ("/rest/agent/latest", Channel::LegacyPre15),
];

/// The legacy endpoint that a request used: the prefix of its path after the context path.
#[derive(Clone, Copy, Debug)]
pub struct LegacyPrefix(pub &'static str);

/// Marks a request whose path was written with a trailing slash, which normalization removes.
#[derive(Clone, Copy, Debug)]
pub struct TrailingSlash;

/// The authenticated caller of a request.
#[derive(Clone, Debug)]
pub enum CallerIdentity {
    /// An admin.
    Admin(AdminName),
    /// A token.
    Token(TokenId),
    /// The command line.
    CommandLine,
}

impl CallerIdentity {
    /// Returns the identity of a caller.
    pub fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Admin(admin) => Self::Admin(admin.name.clone()),
            Caller::Token(token, _) => Self::Token(token.id),
            Caller::Holder(id, _) => Self::Token(*id),
            // A legacy login runs within an admin's request, and is never the caller of one.
            Caller::CommandLine | Caller::LegacyLogin => Self::CommandLine,
        }
    }

    /// Returns the name of the admin, if the caller is one.
    pub fn admin(&self) -> Option<&str> {
        match self {
            Self::Admin(name) => Some(name.as_str()),
            Self::Token(_) | Self::CommandLine => None,
        }
    }

    /// Returns the actor in audit events and reports.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Admin(name) => Actor {
                id: name.as_str().to_owned(),
                kind: ActorKind::User,
            },
            Self::Token(id) => Actor::token(id),
            Self::CommandLine => Caller::CommandLine.actor(),
        }
    }
}

/// Formats the caller for the log, without a token's ID: the UUID of a legacy token can be a
/// credential.
impl std::fmt::Display for CallerIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Admin(name) => write!(f, "admin {}", name.as_str()),
            Self::Token(_) => f.write_str("token"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// The route pattern of a resource with the context path, cached on first use.
#[derive(Debug, Default)]
pub struct RoutePattern(OnceCell<Option<String>>);

impl RoutePattern {
    /// Returns the pattern of a request's resource, if a route matched.
    pub fn of(request: &HttpRequest) -> Option<&str> {
        let Self(pattern) = request.app_data()?;
        pattern.get_or_init(|| request.match_pattern()).as_deref()
    }
}
