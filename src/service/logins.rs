//! Verifies logins of admins: throttling, queuing, and password verification.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::{
    Error, Refusal,
    figures::{Figures, Kind, Outcome},
    passwords::{Login, Passwords},
    throttle::Throttle,
    unwritten::{Subject, Unwritten},
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
    figures: Arc<Figures>,
    unwritten: Arc<Unwritten>,
}

impl Logins {
    /// Creates a verifier for the admins in `store`.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
        figures: Arc<Figures>,
        unwritten: Arc<Unwritten>,
    ) -> Result<Self, Error> {
        Ok(Self {
            passwords: Passwords::new(random)?,
            throttle: Throttle::new(random)?,
            store,
            clock,
            figures,
            unwritten,
        })
    }

    /// Verifies a login. The login is counted even if the caller drops this future.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the name or the password is wrong; [`Error::Throttled`] after too many failures.
    pub async fn verify(self: &Arc<Self>, name: &str, password: SecretString, origin: Origin) -> Result<Admin, Error> {
        self.check(name, origin)?;
        let (this, name) = (Arc::clone(self), name.to_owned());
        let verified = tokio::spawn(async move { this.verify_to_the_end(&name, &password, origin).await });
        verified.await.map_err(|_| Error::Unavailable(StoreError::Ending))?
    }

    async fn verify_to_the_end(&self, name: &str, password: &SecretString, origin: Origin) -> Result<Admin, Error> {
        let admin = match AdminName::of_existing(name) {
            Some(name) => self.store.read_briefly(move |conn| admins::find(conn, &name)).await?,
            None => None,
        };
        let login = Login {
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
        let is_right = match password.clone() {
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
        if let Some((admin, password)) = login.admin.zip(password).filter(|_| is_right) {
            self.passwords.remember_right(admin, &password, now);
            self.accept(&admin.name, origin);
            return Ok(admin.clone());
        }
        if self.passwords.remember_wrong(&login, now) {
            self.throttle.failed(login.network, name, admission, now);
        }
        Err(self.refuse(&login, origin))
    }

    /// Records a successful login.
    pub fn accept(&self, name: &AdminName, origin: Origin) {
        self.throttle
            .succeeded(origin.network(), name.as_str(), self.clock.monotonic());
        self.figures.authenticated(Kind::Password, Outcome::Accepted);
    }

    fn check(&self, name: &str, origin: Origin) -> Result<(), Error> {
        let checked = self.throttle.check(origin.network(), name, self.clock.monotonic());
        checked.inspect_err(|error| self.count_throttled(error))
    }

    fn count_throttled(&self, error: &Error) {
        if matches!(error, Error::Throttled { .. } | Error::TooManyLogins { .. }) {
            self.figures.authenticated(Kind::Password, Outcome::Throttled);
        }
    }

    fn refuse(&self, login: &Login<'_>, origin: Origin) -> Error {
        let subject = login
            .admin
            .map_or(Subject::Unknown, |admin| Subject::Admin(admin.name.clone()));
        self.figures
            .authenticated(Kind::Password, Outcome::Refused(Refusal::Password));
        self.unwritten
            .refused(origin, Refusal::Password, subject, self.clock.monotonic());
        Error::Unauthenticated(Refusal::Password)
    }
}
