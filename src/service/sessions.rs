//! Console sessions of admins.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Error, Service};
use crate::{
    domain::{
        admin::Admin,
        authorization::{Denied, Operation, authorize},
        caller::{Call, Caller},
        clock::{Clock, Timestamp},
        session::{SessionAge, SessionHash, SessionInfo, SessionKey, SessionTimes},
    },
    store::sessions,
};

/// Maximum number of sessions whose age is kept in memory. Others are judged by the wall clock.
const MAX_KNOWN: usize = 10_000;

/// Ages of the sessions that this server has seen.
pub struct SessionAges {
    known: Mutex<HashMap<[u8; 32], SessionAge>>,
    started: (Timestamp, Instant),
}

impl SessionAges {
    /// Creates an empty set that starts at the current time.
    pub fn new(clock: &dyn Clock) -> Self {
        Self {
            known: Mutex::default(),
            started: (clock.now(), clock.monotonic()),
        }
    }

    /// Returns the cutoffs by which sessions have certainly expired. A wall clock that was set
    /// forward ends no session.
    fn ended(&self, clock: &dyn Clock) -> SessionTimes {
        let (wall, instant) = self.started;
        let passed = wall.saturating_add(clock.monotonic().saturating_duration_since(instant));
        SessionTimes::expiry_cutoffs(clock.now().min(passed))
    }

    /// Returns the age of a session with these timestamps; `None` if the session has ended.
    fn age(&self, key: &SessionHash, times: SessionTimes, now: Timestamp, instant: Instant) -> Option<SessionAge> {
        let mut known = self.known();
        let age = match known.get(key.as_bytes()) {
            Some(age) => Some(age.at(times.seen_at, now, instant)),
            None => SessionAge::new(times, now, instant),
        };
        let age = age.filter(|age| !age.is_expired());
        if age.is_none() {
            known.remove(key.as_bytes());
        }
        age
    }

    /// Returns `true` if this server knows that the session is still active.
    fn is_active(&self, key: &[u8], instant: Instant) -> bool {
        let known = self.known();
        known.get(key).is_some_and(|age| !age.aged_to(instant).is_expired())
    }

    fn remember(&self, key: &SessionHash, age: SessionAge, instant: Instant) {
        let mut known = self.known();
        if known.len() >= MAX_KNOWN {
            known.retain(|_, age| !age.aged_to(instant).is_expired());
        }
        if known.len() < MAX_KNOWN || known.contains_key(key.as_bytes()) {
            known.insert(*key.as_bytes(), age);
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], SessionAge>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the calling admin: a session belongs to one.
fn require_admin(caller: &Caller) -> Result<&Admin, Denied> {
    match caller {
        Caller::Admin(admin) => Ok(admin),
        Caller::Token(..) | Caller::Holder(..) | Caller::CommandLine | Caller::LegacyLogin => Err(Denied::NotAdmin),
    }
}

impl Service {
    /// Generates a key that belongs to no session yet, for a browser before the sign-in.
    ///
    /// # Errors
    /// [`Error::Internal`] if the random source fails.
    pub fn new_session_key(&self) -> Result<SessionKey, Error> {
        Ok(SessionKey::generate(self.random.as_ref())?)
    }

    /// Returns an anti-CSRF token for the forms of the browser with `key`.
    ///
    /// # Errors
    /// [`Error::Internal`] if the random source fails.
    pub fn csrf_token(&self, key: &SessionKey) -> Result<String, Error> {
        Ok(key.csrf_token(self.random.as_ref())?)
    }

    /// Starts a session for an admin who has just signed in with a password. The session gets a new
    /// key, which prevents session fixation; the session with the key `before`, if any, ends.
    /// `user_agent` is the program of the admin.
    ///
    /// # Errors
    /// [`Error::Forbidden`] with [`Denied::NotAdmin`] if the caller is not an admin;
    /// [`Error::Unauthenticated`] if the password has changed since the sign-in.
    pub async fn begin_session(
        &self,
        call: Call,
        user_agent: String,
        before: Option<SessionKey>,
    ) -> Result<SessionKey, Error> {
        let key = self.new_session_key()?;
        let hash = key.hash();
        let (ages, instant) = (Arc::clone(&self.session_ages), self.clock.monotonic());
        let ended = ages.ended(self.clock.as_ref());
        let client = call.origin.client;
        let begun_at = self
            .transact(call, None, move |tx, _| {
                authorize(&tx.caller, Operation::BeginSession, None)?;
                let admin = require_admin(&tx.caller)?;
                if let Some(before) = before {
                    sessions::delete(tx.conn, &before.hash())?;
                }
                sessions::delete_ended(tx.conn, ended, |key| ages.is_active(key, instant))?;
                sessions::insert(tx.conn, &hash, &admin.name, client, &user_agent, tx.now)?;
                Ok(tx.now)
            })
            .await?;
        if let Some(age) = SessionAge::new(SessionTimes::starting_at(begun_at), begun_at, instant) {
            self.session_ages.remember(&hash, age, instant);
        }
        Ok(key)
    }

    /// Returns the admin of the session with this key. Returns `None` if there is no such session
    /// or it has ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store fails.
    pub async fn resume_session(&self, key: &SessionKey) -> Result<Option<Caller>, Error> {
        let (hash, now) = (key.hash(), self.clock.now());
        let found = self.store.read_fast(move |conn| sessions::find(conn, &hash)).await?;
        let instant = self.clock.monotonic();
        let aged = found.and_then(|(admin, times)| {
            let age = self.session_ages.age(&hash, times, now, instant)?;
            Some((admin, times, age))
        });
        let Some((admin, times, age)) = aged else {
            return Ok(None);
        };
        let should_touch = times.should_touch(now);
        let seen_at = if should_touch { now } else { times.seen_at };
        self.session_ages.remember(&hash, age.after_use(seen_at), instant);
        if should_touch {
            // If the store cannot be written, pages remain readable; the session then ends sooner.
            let _ = self.store.write(move |conn| sessions::touch(conn, &hash, now)).await;
        }
        Ok(Some(Caller::Admin(admin)))
    }

    /// Returns the sessions of the calling admin, the last used first. `current` is the key of the one that asks.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller is not an admin.
    pub async fn list_sessions(&self, call: &Call, current: &SessionKey) -> Result<Vec<SessionInfo>, Error> {
        let check_caller = self.caller_check(call, Operation::ManageAccount);
        let admin = require_admin(&call.caller)?.name.clone();
        let (ended, current) = (self.session_ages.ended(self.clock.as_ref()), current.hash());
        self.store
            .read(move |conn| {
                check_caller(conn)?;
                Ok(sessions::of_admin(conn, &admin, ended, &current)?)
            })
            .await
    }

    /// Ends the sessions of the calling admin except for the one with the key `current`.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller is not an admin.
    pub async fn end_other_sessions(&self, call: Call, current: &SessionKey) -> Result<(), Error> {
        let current = current.hash();
        self.transact(call, None, move |tx, _| {
            authorize(&tx.caller, Operation::ManageAccount, None)?;
            let admin = require_admin(&tx.caller)?;
            Ok(sessions::delete_others(tx.conn, &admin.name, &current)?)
        })
        .await
    }

    /// Returns the time until the session with this key ends unless it is used. Returns `None` if this server has
    /// not resumed it.
    #[must_use]
    pub fn remaining_session_time(&self, key: &SessionKey) -> Option<Duration> {
        let known = self.session_ages.known();
        let age = known.get(key.hash().as_bytes())?;
        Some(age.aged_to(self.clock.monotonic()).remaining())
    }

    /// Ends the session with this key, if there is one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store fails.
    pub async fn end_session(&self, key: &SessionKey) -> Result<(), Error> {
        let hash = key.hash();
        Ok(self.store.write(move |conn| sessions::delete(conn, &hash)).await?)
    }
}
