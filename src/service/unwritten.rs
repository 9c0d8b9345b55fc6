//! What is written behind, in batches: when tokens were last used, which logins were refused, and who came through the legacy doors.

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
    legacy_usage::{Bounds, Calls, LegacyCaller, LegacyCalls},
    name::AdminName,
    page::TokenFilter,
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

struct State {
    uses: HashMap<TokenId, Timestamp>,
    /// Those that a flush is writing, or the last one has written: who read the store before that looks here afterwards.
    flushed: HashMap<TokenId, Timestamp>,
    refusals: HashMap<RefusalKey, u64>,
    legacy_calls: LegacyCalls,
}

impl Default for State {
    fn default() -> Self {
        Self {
            uses: HashMap::new(),
            flushed: HashMap::new(),
            refusals: HashMap::new(),
            legacy_calls: LegacyCalls::within(Bounds::UNWRITTEN),
        }
    }
}

/// What a flush writes.
#[derive(Clone)]
pub struct Batch {
    /// When tokens were last used.
    pub uses: Vec<(TokenId, Timestamp)>,
    /// Which logins were refused.
    pub refusals: Vec<RefusedLogins>,
    /// Who came through the legacy doors.
    pub legacy_calls: Vec<(LegacyCaller, Calls)>,
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

impl State {
    fn last_use(&self, id: TokenId) -> Option<Timestamp> {
        self.uses.get(&id).max(self.flushed.get(&id)).copied()
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

    /// Remembers a call of a legacy door.
    pub fn called(&self, caller: LegacyCaller, at: Timestamp) {
        self.state().legacy_calls.add(caller, &Calls::one(at));
    }

    /// The calls of legacy doors that are not written yet; as long as the guard lives, they are not being written either.
    pub async fn legacy_calls(&self) -> (LegacyCalls, tokio::sync::MutexGuard<'_, ()>) {
        let guard = self.flushing.lock().await;
        (self.state().legacy_calls.clone(), guard)
    }

    /// Shows in `token` the uses that are not written yet.
    pub fn show_in(&self, token: &mut Token) {
        token.last_used_at = token.last_used_at.max(self.state().last_use(token.id));
    }

    /// Keeps those of the tokens that pass `filter` still, with the uses that are not written yet.
    pub fn retain_admitted(&self, ids: &mut Vec<TokenId>, filter: &TokenFilter) {
        let state = self.state();
        ids.retain(|id| filter.admits_use(state.last_use(*id)));
    }

    /// Gives everything to `write`; what it cannot write is kept for the next time.
    pub async fn flush<W>(&self, write: impl FnOnce(Batch) -> W) -> Result<(), Error>
    where
        W: Future<Output = Result<(), Error>>,
    {
        let _alone = self.flushing.lock().await;
        let Some(batch) = self.state().take() else {
            return Ok(());
        };
        let outcome = write(batch.clone()).await;
        if outcome.is_err() {
            self.state().put_back(batch);
        }
        outcome
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is to be written, if there is anything.
    fn take(&mut self) -> Option<Batch> {
        if self.uses.is_empty() && self.refusals.is_empty() && self.legacy_calls.is_empty() {
            return None;
        }
        self.flushed = std::mem::take(&mut self.uses);
        // In one order everywhere, so that two servers never wait for each other's rows.
        let mut uses: Vec<_> = self.flushed.iter().map(|(id, at)| (*id, *at)).collect();
        uses.sort_unstable();
        let refusals = std::mem::take(&mut self.refusals).into_iter();
        let legacy_calls = std::mem::replace(&mut self.legacy_calls, LegacyCalls::within(Bounds::UNWRITTEN));
        Some(Batch {
            uses,
            refusals: refusals.map(|(key, count)| RefusedLogins { key, count }).collect(),
            legacy_calls: legacy_calls.into_sorted(),
        })
    }

    fn put_back(&mut self, batch: Batch) {
        for (id, at) in batch.uses {
            let last = self.uses.entry(id).or_insert(at);
            *last = at.max(*last);
        }
        for RefusedLogins { key, count } in batch.refusals {
            *self.refusals.entry(key).or_default() += count;
        }
        for (caller, calls) in batch.legacy_calls {
            self.legacy_calls.add(caller, &calls);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::random::OsRandom;

    /// Somebody reads the store, a flush begins and ends, and then the reader looks here.
    #[tokio::test]
    async fn a_use_is_seen_by_those_who_read_the_store_before_it_was_written() {
        let unwritten = Unwritten::default();
        let id = TokenId::generate(&OsRandom).unwrap();
        let at = Timestamp::from_micros(1_800_000_000_000_000).unwrap();
        let filter = TokenFilter {
            unused_since: Some(at),
            ..TokenFilter::default()
        };
        unwritten.used(id, at);
        unwritten.flush(async |_| Ok(())).await.unwrap();
        let mut read_before = vec![id];
        unwritten.retain_admitted(&mut read_before, &filter);
        assert!(read_before.is_empty());
        unwritten.flush(async |_| panic!("it was written")).await.unwrap();
    }
}
