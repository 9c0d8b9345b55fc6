//! Logins with the credentials of the legacy server: an administrator there becomes an admin here.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, time::timeout_at};

use super::{
    keyed_hash::{KeyedHash, KeyedHasher, RecentHashes},
    passwords::{InFlight, LoginAttempt},
};
use crate::{
    domain::{
        admin::{Admin, LegacyLoginOutcome, Password, PasswordHash, PasswordOrigin, Role},
        name::AdminName,
        random::{Random, RandomError},
    },
    legacy_server::{LegacyServer, LegacyServerError},
};

/// Maximum duration of an attempt, including the wait for others.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of concurrent attempts.
const MAX_CONCURRENT: usize = 8;
/// Time for which a refused attempt is not repeated.
const REFUSED_LIFETIME: Duration = Duration::from_mins(1);
const MAX_REFUSED: usize = 20_000;

/// Tries logins at the legacy server if they fail here.
pub struct LegacyLogin {
    server: Arc<LegacyServer>,
    /// The role of new admins.
    pub role: Role,
    permits: Arc<Semaphore>,
    hasher: KeyedHasher,
    /// The attempts that failed within the last minute. Unlike in the cache of wrong logins, a
    /// repetition does not prolong an entry: a script that repeats a login succeeds once the legacy
    /// server responds again.
    refused: Mutex<RecentHashes>,
    /// Shares an attempt among equal concurrent logins.
    pub in_flight: InFlight<TakeOver>,
}

/// A login to try at the legacy server.
#[derive(Clone)]
pub struct Candidate {
    /// The name, as the admin here has it or will have it.
    pub name: AdminName,
    /// The password.
    pub password: Password,
    /// The hash that the password does not match; `None` if there is no such admin.
    pub known_hash: Option<PasswordHash>,
    /// Identifies the name, the password, and the hash.
    pub key: KeyedHash,
}

/// The result of taking over an admin.
#[derive(Clone)]
pub enum TakeOver {
    /// The admin was added, or the password replaced.
    Done(Admin),
    /// The credentials were refused.
    Refused,
    /// The admin was changed concurrently, possibly by another server that took it over.
    Changed,
}

impl LegacyLogin {
    /// Creates a client that tries logins at `server` and adds admins with this role.
    ///
    /// # Errors
    /// [`RandomError`] if the random source fails.
    pub fn new(server: LegacyServer, role: Role, random: &dyn Random) -> Result<Self, RandomError> {
        Ok(Self {
            server: Arc::new(server),
            role,
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            hasher: KeyedHasher::new(random)?,
            refused: Mutex::new(RecentHashes::new(MAX_REFUSED, REFUSED_LIFETIME)),
            in_flight: InFlight::default(),
        })
    }

    /// Returns the attempt to make at the legacy server if this login fails here. Returns `None` if
    /// the password of the admin was set here, if the name is invalid for a new admin, or if the same
    /// attempt failed within the last minute.
    pub fn candidate(&self, login: &LoginAttempt<'_>, password: Option<&Password>, now: Instant) -> Option<Candidate> {
        let name = match login.admin {
            // Blanks around a name are invisible in lists.
            None => login
                .name
                .parse::<AdminName>()
                .ok()
                .filter(|name| name.as_str().trim() == name.as_str())?,
            Some(admin) => match admin.password_origin {
                PasswordOrigin::LegacyLogin => admin.name.clone(),
                PasswordOrigin::Local => return None,
            },
        };
        let password = password?.clone();
        let known_hash = login.admin.map(|admin| admin.password_hash.clone());
        let known = known_hash.as_ref().map_or("", PasswordHash::as_phc);
        let parts = [name.as_str(), password.expose_typed(), known];
        let key = self.hasher.hash(&parts.map(str::as_bytes));
        let is_refused = self.refused().contains(key, now);
        (!is_refused).then_some(Candidate {
            name,
            password,
            known_hash,
            key,
        })
    }

    /// Remembers for a minute that this attempt failed.
    pub fn remember_refused(&self, candidate: &Candidate, now: Instant) {
        self.refused().insert(candidate.key, now);
    }

    /// Asks the legacy server, for at most five seconds.
    pub async fn ask(&self, candidate: &Candidate) -> LegacyLoginOutcome {
        let deadline = Instant::now() + TIMEOUT;
        let permit = Arc::clone(&self.permits).acquire_owned();
        let Ok(Ok(permit)) = timeout_at(deadline.into(), permit).await else {
            return LegacyLoginOutcome::Busy;
        };
        let (server, name, password) = (
            Arc::clone(&self.server),
            candidate.name.clone(),
            candidate.password.clone(),
        );
        let asking = tokio::task::spawn_blocking(move || {
            // Released when the thread is done, which can be later than the deadline.
            let _permit = permit;
            server.is_administrator(&name, &password, deadline)
        });
        match timeout_at(deadline.into(), asking).await {
            Ok(Ok(Ok(true))) => LegacyLoginOutcome::Accepted,
            Ok(Ok(Ok(false))) => LegacyLoginOutcome::Refused,
            Ok(Ok(Err(error))) => failed(&error),
            Ok(Err(_)) | Err(_) => failed(&LegacyServerError::Timeout),
        }
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, RecentHashes> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(error: &LegacyServerError) -> LegacyLoginOutcome {
    log::warn!(
        "a login cannot be verified at the legacy server: {error}; \
         check the URL of --legacy-login (TOKENBRIDGE_LEGACY_LOGIN), and that the server is running"
    );
    LegacyLoginOutcome::Failed
}
