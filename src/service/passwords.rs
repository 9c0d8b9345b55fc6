//! Passwords: hashed with argon2id, on threads that may block, a bounded number at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc};
use hmac::{Hmac, KeyInit, Mac, digest::CtOutput};
use sha2::Sha256;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Error;
use crate::{
    domain::{
        admin::{Admin, Password, PasswordHash},
        clock::Timestamp,
        name::AdminName,
        random::{Random, RandomError},
    },
    store::StoreError,
};

const SALT_BYTES: usize = 16;
const REMEMBERED: Duration = Duration::from_mins(1);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Hashes and verifies passwords, with OWASP's parameters for argon2id: 19 MiB, two passes, one lane.
///
/// What was verified is remembered for a minute, as a hash keyed with bytes that this process alone knows, next to the stored hash
/// that it matched: a changed password is forgotten at once.
pub struct Passwords {
    slots: Arc<Semaphore>,
    key: [u8; 32],
    verified: Mutex<HashMap<AdminName, Verified>>,
    nobody: PasswordHash,
}

struct Verified {
    tag: CtOutput<Hmac<Sha256>>,
    matched: PasswordHash,
    until: Timestamp,
}

impl Passwords {
    pub fn new(random: &dyn Random) -> Result<Self, RandomError> {
        let mut key = [0; 32];
        random.fill(&mut key)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let params = argon2::Params::DEFAULT;
        let nobody = format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            params.m_cost(),
            params.t_cost(),
            params.p_cost(),
            "A".repeat(22),
            "A".repeat(43)
        );
        Ok(Self {
            slots: Arc::new(Semaphore::new(cores)),
            key,
            verified: Mutex::default(),
            nobody: PasswordHash::from_phc(nobody),
        })
    }

    /// Waits for a turn to hash.
    pub async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        tokio::time::timeout(LONGEST_WAIT, Arc::clone(&self.slots).acquire_owned())
            .await
            .map_err(|_| Error::Unavailable(StoreError::Busy))?
            .map_err(|_| Error::Unavailable(StoreError::Ending))
    }

    /// The hash to store for a new password.
    pub async fn hash(&self, password: Password, random: &dyn Random) -> Result<PasswordHash, Error> {
        let mut salt = [0; SALT_BYTES];
        random.fill(&mut salt)?;
        let turn = self.turn().await?;
        blocking(move || {
            let _turn = turn;
            let hash = Argon2::default()
                .hash_password_with_salt(password.expose().as_bytes(), &salt)
                .map_err(|error| Error::Internal(error.to_string().into()))?;
            Ok(PasswordHash::from_phc(hash.to_string()))
        })
        .await
    }

    /// Whether `password` is the admin's; for nobody it takes as long and is wrong.
    pub async fn verify(
        &self,
        turn: OwnedSemaphorePermit,
        admin: Option<&Admin>,
        password: &Password,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let known = admin.map_or_else(|| self.nobody.clone(), |admin| admin.password_hash.clone());
        let presented = password.clone();
        let right = blocking(move || {
            let _turn = turn;
            let hash = phc::PasswordHash::new(known.as_phc())
                .map_err(|_| Error::from(StoreError::Corrupt("password hash")))?;
            Ok(Argon2::default()
                .verify_password(presented.expose().as_bytes(), &hash)
                .is_ok())
        })
        .await?;
        if let Some(admin) = admin.filter(|_| right) {
            let entry = Verified {
                tag: self.tag(&admin.name, password),
                matched: admin.password_hash.clone(),
                until: now.saturating_add(REMEMBERED),
            };
            self.verified
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(admin.name.clone(), entry);
        }
        Ok(right)
    }

    /// Whether the admin showed this password within the last minute, and it has not changed since.
    pub fn recently_verified(&self, admin: &Admin, password: &Password, now: Timestamp) -> bool {
        let tag = self.tag(&admin.name, password);
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified
            .get(&admin.name)
            .is_some_and(|entry| entry.until > now && entry.matched == admin.password_hash && entry.tag == tag)
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn tag(&self, name: &AdminName, password: &Password) -> CtOutput<Hmac<Sha256>> {
        let mut tag = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length is taken");
        tag.update(name.as_str().as_bytes());
        tag.update(b"\0");
        tag.update(password.expose().as_bytes());
        tag.finalize()
    }
}

/// The most memory that a hash from elsewhere may cost, in KiB, and the most passes: otherwise each login would be a burden.
const MOST_MEMORY: u32 = 262_144;
const MOST_PASSES: u32 = 16;

/// Whether a hash that comes from elsewhere is one that passwords can be verified against: argon2id, complete, and no burden.
pub fn can_be_verified(hash: &PasswordHash) -> bool {
    let Ok(hash) = phc::PasswordHash::new(hash.as_phc()) else {
        return false;
    };
    let complete = hash.algorithm.as_str() == "argon2id" && hash.salt.is_some() && hash.hash.is_some();
    let params = argon2::Params::try_from(&hash);
    complete && params.is_ok_and(|params| params.m_cost() <= MOST_MEMORY && params.t_cost() <= MOST_PASSES)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Unavailable(StoreError::Ending))?
}
