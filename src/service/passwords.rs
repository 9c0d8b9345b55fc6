//! Hashes and verifies passwords with argon2id on blocking threads, one per core.

mod cache;
mod hashing;
mod in_flight;
mod permits;

use std::{net::IpAddr, sync::Arc, time::Instant};

use super::{
    Error,
    keyed_hash::{KeyedHash, KeyedHasher},
};
use crate::{
    domain::{
        admin::{Admin, Password, PasswordHash},
        name::AdminName,
        random::{Random, RandomError},
    },
    store::StoreError,
};
use cache::Cache;
pub use hashing::can_be_verified;
pub use in_flight::InFlight;
use permits::Permits;
pub use permits::{Permit, Priority};

const SALT_BYTES: usize = 16;

/// Hashes and verifies passwords.
pub struct Passwords {
    permits: Arc<Permits>,
    hasher: KeyedHasher,
    cache: Cache,
    in_flight: InFlight<bool>,
    /// Compared with the password when the admin is unknown. The comparison takes the same time, so
    /// timing reveals nothing.
    dummy_hash: PasswordHash,
}

/// A login to verify: the name and password that were sent, and the admin with that name.
pub struct LoginAttempt<'l> {
    /// The client's IPv4 address or IPv6 /64.
    pub network: Option<IpAddr>,
    /// The name as it was sent.
    pub name: &'l str,
    /// The password as it was sent.
    pub password: &'l str,
    /// The admin, if one has this name.
    pub admin: Option<&'l Admin>,
}

impl Passwords {
    /// Creates a verifier with one permit per core.
    ///
    /// # Errors
    /// [`RandomError`] if the random source fails.
    pub fn new(random: &dyn Random) -> Result<Self, RandomError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let params = argon2::Params::DEFAULT;
        let dummy_hash = format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            params.m_cost(),
            params.t_cost(),
            params.p_cost(),
            "A".repeat(22),
            "A".repeat(43)
        );
        Ok(Self {
            permits: Arc::new(Permits::new(cores)),
            hasher: KeyedHasher::new(random)?,
            cache: Cache::default(),
            in_flight: InFlight::default(),
            dummy_hash: PasswordHash::from_phc(dummy_hash),
        })
    }

    /// Waits for a permit to hash a password.
    ///
    /// # Errors
    /// [`Error::TooManyLogins`] if too many logins from this network are waiting;
    /// [`Error::Unavailable`] after ten seconds.
    pub async fn acquire_permit(&self, network: Option<IpAddr>, priority: Priority) -> Result<Permit, Error> {
        self.permits.acquire(network, priority).await
    }

    /// Frees the memory of permits that were idle for a minute. Call this every few seconds.
    pub fn free_idle_memory(&self, now: Instant) {
        self.permits.free_idle_memory(now);
    }

    /// Hashes a new password that an authorized caller at `network` chose.
    ///
    /// # Errors
    /// Those of [`Passwords::acquire_permit`]; [`Error::Internal`] if the random source fails.
    pub async fn hash(
        &self,
        password: Password,
        random: &dyn Random,
        network: Option<IpAddr>,
    ) -> Result<PasswordHash, Error> {
        let mut salt = [0; SALT_BYTES];
        random.fill(&mut salt)?;
        let permit = self.acquire_permit(network, Priority::Known).await?;
        run_blocking(move || permit.with_memory(|memory| hashing::hash(memory, &password, &salt))).await
    }

    /// Returns `true` if this is the admin's password. Concurrent equal calls share one
    /// verification, for which `acquire` gets the permit.
    ///
    /// # Errors
    /// Those of `acquire`; [`StoreError::Corrupt`] if the stored hash is malformed.
    pub async fn verify<A>(
        &self,
        login: &LoginAttempt<'_>,
        password: Password,
        acquire: impl FnOnce() -> A,
    ) -> Result<bool, Error>
    where
        A: Future<Output = Result<Permit, Error>>,
    {
        let stored = self.stored_hash(login);
        let parts = [login.name, login.password, stored.as_phc()];
        let key = self.hasher.hash(&parts.map(str::as_bytes));
        let stored = stored.clone();
        let verify = async move || {
            let permit = acquire().await?;
            run_blocking(move || permit.with_memory(|memory| hashing::verify(memory, &password, &stored))).await
        };
        let is_correct = self.in_flight.share(key, verify).await?;
        Ok(is_correct && login.admin.is_some())
    }

    /// Returns `true` if this password was verified for the admin within the last minute.
    pub fn was_correct(&self, name: &AdminName, password: &Password, now: Instant) -> bool {
        self.cache.was_correct(name, self.hash_credential(name, password), now)
    }

    /// Returns `true` if this password was verified within the last minute and has not changed
    /// since.
    pub fn is_correct(&self, admin: &Admin, password: &Password, now: Instant) -> bool {
        let credential = self.hash_credential(&admin.name, password);
        self.cache
            .is_correct(&admin.name, credential, &admin.password_hash, now)
    }

    /// Caches for a minute that this is the admin's password.
    pub fn remember_correct(&self, admin: &Admin, password: &Password, now: Instant) {
        let credential = self.hash_credential(&admin.name, password);
        self.cache
            .remember_correct(admin.name.clone(), credential, admin.password_hash.clone(), now);
    }

    /// Returns `true` if this login failed within the last minute and the password has not changed
    /// since.
    pub fn was_wrong(&self, login: &LoginAttempt<'_>, now: Instant) -> bool {
        self.cache.was_wrong(self.hash_attempt(login), now)
    }

    /// Caches for a minute that this login is wrong. Returns `false` if that was cached already.
    pub fn remember_wrong(&self, login: &LoginAttempt<'_>, now: Instant) -> bool {
        self.cache.remember_wrong(self.hash_attempt(login), now)
    }

    fn hash_credential(&self, name: &AdminName, password: &Password) -> KeyedHash {
        self.hasher
            .hash(&[name.as_str(), password.expose_typed()].map(str::as_bytes))
    }

    fn hash_attempt(&self, login: &LoginAttempt<'_>) -> KeyedHash {
        let network = login.network.map(|network| network.to_string()).unwrap_or_default();
        let parts = [&network, login.name, login.password, self.stored_hash(login).as_phc()];
        self.hasher.hash(&parts.map(str::as_bytes))
    }

    fn stored_hash<'l>(&'l self, login: &LoginAttempt<'l>) -> &'l PasswordHash {
        login.admin.map_or(&self.dummy_hash, |admin| &admin.password_hash)
    }
}

async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(StoreError::from)?
}
