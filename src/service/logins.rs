//! Verifies logins of admins: throttling, queuing, and password verification.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::{
    Error, Refusal,
    metrics::{AuthenticationOutcome, CredentialKind, ServiceMetrics},
    passwords::{LoginAttempt, Passwords},
    throttle::Throttle,
    write_behind::{Subject, WriteBehind},
};
use crate::{
    domain::{
        actor::Origin,
        admin::{Admin, Password},
        clock::Clock,
        name::AdminName,
        random::Random,
    },
    store::{Store, StoreError, admins},
};

/// Verifies logins of admins and counts failures.
pub struct Logins {
    store: Store,
    clock: Arc<dyn Clock>,
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    throttle: Throttle,
    metrics: Arc<ServiceMetrics>,
    write_behind: Arc<WriteBehind>,
}

impl Logins {
    /// Creates a verifier for the admins in `store`.
    ///
    /// # Errors
    /// [`Error::Internal`] if the random source fails.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
        metrics: Arc<ServiceMetrics>,
        write_behind: Arc<WriteBehind>,
    ) -> Result<Self, Error> {
        Ok(Self {
            passwords: Passwords::new(random)?,
            throttle: Throttle::new(random)?,
            store,
            clock,
            metrics,
            write_behind,
        })
    }

    /// Verifies a login. The login is counted even if the caller drops this future.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the name or the password is wrong; [`Error::Throttled`] after
    /// too many failures; [`Error::TooManyLogins`] if too many logins from this network are
    /// waiting; [`Error::Unavailable`] if the store fails, or after ten seconds without a permit.
    pub async fn verify(self: &Arc<Self>, name: &str, password: SecretString, origin: Origin) -> Result<Admin, Error> {
        self.check(name, origin)?;
        let (this, name) = (Arc::clone(self), name.to_owned());
        let verified = tokio::spawn(async move { this.verify_uncancelled(&name, &password, origin).await });
        verified.await.map_err(StoreError::from)?
    }

    async fn verify_uncancelled(&self, name: &str, password: &SecretString, origin: Origin) -> Result<Admin, Error> {
        let admin = match AdminName::parse_existing(name) {
            Some(name) => self.store.read_fast(move |conn| admins::find(conn, &name)).await?,
            None => None,
        };
        let login = LoginAttempt {
            network: origin.network(),
            name,
            password: password.expose_secret(),
            admin: admin.as_ref(),
        };
        if self.passwords.was_wrong(&login, self.clock.monotonic()) {
            return Err(self.refuse(&login, origin));
        }
        let admission = self.throttle.admit(login.network, name, self.clock.monotonic());
        tokio::time::sleep(admission.delay).await;
        let password = Password::parse(password.clone()).ok();
        let is_correct = match password.clone() {
            None => false,
            Some(password) => {
                let acquire = async || {
                    let permit = self.passwords.acquire_permit(login.network, admission.priority).await;
                    let permit = permit.inspect_err(|error| self.count_throttled(error))?;
                    // Other logins may have failed for this name while this one waited.
                    self.check(name, origin)?;
                    Ok(permit)
                };
                self.passwords.verify(&login, password, acquire).await?
            }
        };
        let now = self.clock.monotonic();
        if let Some((admin, password)) = login.admin.zip(password).filter(|_| is_correct) {
            self.passwords.remember_correct(admin, &password, now);
            self.accept(&admin.name, origin);
            return Ok(admin.clone());
        }
        if self.passwords.remember_wrong(&login, now) {
            self.throttle.record_failure(login.network, name, admission, now);
        }
        Err(self.refuse(&login, origin))
    }

    /// Records a successful login.
    pub fn accept(&self, name: &AdminName, origin: Origin) {
        self.throttle
            .record_success(origin.network(), name.as_str(), self.clock.monotonic());
        self.metrics
            .count_authentication(CredentialKind::Password, AuthenticationOutcome::Accepted);
    }

    fn check(&self, name: &str, origin: Origin) -> Result<(), Error> {
        let checked = self.throttle.check(origin.network(), name, self.clock.monotonic());
        checked.inspect_err(|error| self.count_throttled(error))
    }

    fn count_throttled(&self, error: &Error) {
        if matches!(error, Error::Throttled { .. } | Error::TooManyLogins { .. }) {
            self.metrics
                .count_authentication(CredentialKind::Password, AuthenticationOutcome::Throttled);
        }
    }

    fn refuse(&self, login: &LoginAttempt<'_>, origin: Origin) -> Error {
        let subject = login
            .admin
            .map_or(Subject::Unknown, |admin| Subject::Admin(admin.name.clone()));
        self.metrics.count_authentication(
            CredentialKind::Password,
            AuthenticationOutcome::Refused(Refusal::Password),
        );
        self.write_behind
            .record_refusal(origin, Refusal::Password, subject, self.clock.monotonic());
        Error::Unauthenticated(Refusal::Password)
    }
}
