//! Actors, and the channels through which they act.

use std::net::{IpAddr, Ipv6Addr};

use serde::Serialize;

use super::named::named_enum;

/// The author of a change: `createdBy`, `updatedBy`, and the actor of an audit event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Actor {
    /// An admin's name, a token's ID, or the name of the system component.
    pub id: String,
    /// The kind of actor that `id` identifies.
    #[serde(rename = "type")]
    pub kind: ActorKind,
}

impl Actor {
    /// Returns the token with this ID as an actor.
    #[must_use]
    pub fn token(id: &impl std::fmt::Display) -> Self {
        Self {
            id: id.to_string(),
            kind: ActorKind::ApiToken,
        }
    }
}

named_enum! {
    /// The kinds of actors, by their published names.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum ActorKind {
        /// An admin.
        User = "user",
        /// A token.
        ApiToken = "api-token",
        /// The command line, or the server itself.
        System = "system",
    }
}

named_enum! {
    /// The API or page that a call used, or the command line.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Channel as "channel" {
        /// `/rest/agent-config/1.0`, or `latest`.
        Legacy10 = "legacy-1.0",
        /// `/rest/agent/1.0`, or `latest`: before version 1.5 of the add-on.
        LegacyPre15 = "legacy-pre-1.5",
        /// `/api-tokens`, `/audit-events`, `/introspect`, `/revoke`, and `/legacy-usage`.
        ApiTokens = "api-tokens",
        /// `/public/graphql`.
        Graphql = "graphql",
        /// `/verify`.
        Verify = "verify",
        /// `/console`.
        Console = "console",
        /// The command line, or the server itself.
        Cli = "cli",
    }
}

/// The origin of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The channel.
    pub channel: Channel,
    /// The client's address; `None` for the command line, or if no trusted proxy reported it.
    pub client: Option<IpAddr>,
}

impl Origin {
    /// Returns the client's IPv4 address, or its IPv6 /64: one host can use any address of a /64.
    #[must_use]
    pub fn network(self) -> Option<IpAddr> {
        self.client.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}
