//! What is written behind, in batches: when tokens were last used, and which logins were refused.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use serde_json::json;

use super::{Error, Refusal};
use crate::domain::{
    actor::{Door, Origin},
    audit::{Action, AuditEvent},
    clock::Timestamp,
    name::AdminName,
    token::{Token, TokenId},
};

/// How many kinds of refused logins are told apart between two flushes; the rest is counted without addresses and names.
const MOST_REFUSALS: usize = 1000;

/// What has happened and is not written yet.
#[derive(Default)]
pub struct Unwritten {
    state: Mutex<State>,
    flushing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    uses: HashMap<TokenId, Timestamp>,
    /// Those that a flush is writing just now.
    in_flight: HashMap<TokenId, Timestamp>,
    refusals: HashMap<RefusalKey, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RefusalKey {
    door: Door,
    client: Option<IpAddr>,
    reason: Refusal,
    subject: Subject,
}

/// Whose credentials were refused, as far as they are known: what a stranger typed as a name is kept nowhere, for it may be a password.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Nobody that is known.
    Unknown,
    /// An admin.
    Admin(AdminName),
    /// A token.
    Token(TokenId),
}

/// Refused logins that are alike.
#[derive(Clone, Debug)]
pub struct RefusedLogins {
    key: RefusalKey,
    count: u64,
}

impl RefusedLogins {
    /// The audit event that tells of them.
    pub fn event(&self, at: Timestamp) -> AuditEvent {
        let (admin, token_id) = match &self.key.subject {
            Subject::Unknown => (None, None),
            Subject::Admin(name) => (Some(name.as_str()), None),
            Subject::Token(id) => (None, Some(*id)),
        };
        AuditEvent {
            at,
            actor: None,
            origin: Origin {
                door: self.key.door,
                client: self.key.client,
            },
            action: Action::LoginRefused,
            token_id,
            details: json!({ "reason": self.key.reason.to_string(), "admin": admin, "count": self.count }),
        }
    }
}

impl Unwritten {
    /// Remembers that a token has authenticated somebody.
    pub fn used(&self, id: TokenId, at: Timestamp) {
        let mut state = self.state();
        let last = state.uses.entry(id).or_insert(at);
        *last = at.max(*last);
    }

    /// Remembers that a login was refused.
    pub fn refused(&self, origin: Origin, reason: Refusal, subject: Subject) {
        let mut state = self.state();
        let mut key = RefusalKey {
            door: origin.door,
            client: origin.client,
            reason,
            subject,
        };
        if state.refusals.len() >= MOST_REFUSALS && !state.refusals.contains_key(&key) {
            key = RefusalKey {
                client: None,
                subject: Subject::Unknown,
                ..key
            };
        }
        *state.refusals.entry(key).or_default() += 1;
    }

    /// Shows in `token` the uses that are not written yet.
    pub fn show_in(&self, token: &mut Token) {
        let state = self.state();
        let unwritten = state.uses.get(&token.id).max(state.in_flight.get(&token.id)).copied();
        token.last_used_at = token.last_used_at.max(unwritten);
    }

    /// Gives everything to `write`; what it cannot write is kept for the next time.
    pub async fn flush<W>(
        &self,
        write: impl FnOnce(Vec<(TokenId, Timestamp)>, Vec<RefusedLogins>) -> W,
    ) -> Result<(), Error>
    where
        W: Future<Output = Result<(), Error>>,
    {
        let _alone = self.flushing.lock().await;
        let (uses, refusals) = {
            let mut state = self.state();
            if state.uses.is_empty() && state.refusals.is_empty() {
                return Ok(());
            }
            let state = &mut *state;
            std::mem::swap(&mut state.uses, &mut state.in_flight);
            // In one order everywhere, so that two servers never wait for each other's rows.
            let mut uses: Vec<_> = state.in_flight.iter().map(|(id, at)| (*id, *at)).collect();
            uses.sort_unstable();
            let refusals = std::mem::take(&mut state.refusals).into_iter();
            (
                uses,
                refusals
                    .map(|(key, count)| RefusedLogins { key, count })
                    .collect::<Vec<_>>(),
            )
        };
        let outcome = write(uses, refusals.clone()).await;
        let mut state = self.state();
        let in_flight = std::mem::take(&mut state.in_flight);
        if outcome.is_err() {
            for (id, at) in in_flight {
                let last = state.uses.entry(id).or_insert(at);
                *last = at.max(*last);
            }
            for RefusedLogins { key, count } in refusals {
                *state.refusals.entry(key).or_default() += count;
            }
        }
        outcome
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
