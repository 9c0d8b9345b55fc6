//! Verifies logins of admins: throttling, queuing, and password verification.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{
    Error, Refusal,
    legacy_login::{Candidate, LegacyLogin, TakeOver},
    metrics::{AuthenticationOutcome, CredentialKind, ServiceMetrics},
    passwords::{LoginAttempt, Passwords},
    throttle::{Admission, Throttle},
    transaction::{Transaction, Transactor},
    write_behind::{Subject, WriteBehind},
};
use crate::{
    domain::{
        actor::Origin,
        admin::{Admin, LegacyLoginOutcome, Password, PasswordHash, PasswordOrigin, Role},
        audit::Action,
        authorization::{Operation, authorize},
        caller::{Call, Caller},
        name::AdminName,
    },
    store::{AnyConnection, StoreError, admins},
};

/// Verifies logins of admins and counts failures.
pub struct Logins {
    transactor: Transactor,
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    throttle: Throttle,
    metrics: Arc<ServiceMetrics>,
    write_behind: Arc<WriteBehind>,
    /// The legacy server, if logins that fail here are tried there.
    legacy: OnceLock<LegacyLogin>,
}

/// The state of the name of a login that is tried at the legacy server.
enum NameState {
    /// It is new, or the legacy server may replace the password of the admin with this name.
    Free,
    /// An admin with this name was added since the login began, possibly by another server.
    Added,
    /// It was removed here, or the legacy server may not distinguish it from that of another admin.
    Taken,
}

impl Logins {
    /// Creates a verifier for the admins in the store of `transactor`.
    ///
    /// # Errors
    /// [`Error::Internal`] if the random source fails.
    pub fn new(
        transactor: Transactor,
        metrics: Arc<ServiceMetrics>,
        write_behind: Arc<WriteBehind>,
    ) -> Result<Self, Error> {
        Ok(Self {
            passwords: Passwords::new(transactor.random.as_ref())?,
            throttle: Throttle::new(transactor.random.as_ref())?,
            transactor,
            metrics,
            write_behind,
            legacy: OnceLock::new(),
        })
    }

    /// Enables attempts at a legacy server for logins that fail here.
    pub fn accept_legacy_logins(&self, legacy: LegacyLogin) {
        // The server sets it once, when it starts.
        let _ = self.legacy.set(legacy);
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
        let admin = self.find(name).await?;
        let login = LoginAttempt {
            network: origin.network(),
            name,
            password: password.expose_secret(),
            admin: admin.as_ref(),
        };
        let password = Password::parse(password.clone()).ok();
        let candidate = self.candidate(&login, password.as_ref());
        let was_wrong = self.passwords.was_wrong(&login, self.now());
        if was_wrong && candidate.is_none() {
            return Err(self.refuse(&login, origin));
        }
        let admission = self.throttle.admit(login.network, name, self.now());
        tokio::time::sleep(admission.delay).await;
        if let Some(password) = &password {
            let mut verified = None;
            if !was_wrong {
                verified = self.verify_password(&login, password, admission, origin).await?;
            }
            if let Some((legacy, candidate)) = candidate.filter(|_| verified.is_none()) {
                self.check(name, origin)?;
                verified = match self.take_over(legacy, candidate, origin).await? {
                    TakeOver::Done(admin) => Some(admin),
                    TakeOver::Refused => None,
                    TakeOver::Changed => {
                        let admin = self.find(name).await?;
                        let login = LoginAttempt {
                            admin: admin.as_ref(),
                            ..login
                        };
                        self.verify_password(&login, password, admission, origin).await?
                    }
                };
            }
            if let Some(admin) = verified {
                self.passwords.remember_correct(&admin, password, self.now());
                self.accept(&admin.name, origin);
                return Ok(admin);
            }
        }
        let now = self.now();
        if self.passwords.remember_wrong(&login, now) {
            self.throttle.record_failure(login.network, name, admission, now);
        }
        Err(self.refuse(&login, origin))
    }

    async fn find(&self, name: &str) -> Result<Option<Admin>, Error> {
        let Some(name) = AdminName::parse_existing(name) else {
            return Ok(None);
        };
        let store = &self.transactor.store;
        store.read_fast(move |conn| Ok(admins::find(conn, &name)?)).await
    }

    /// Returns the admin of a login if the password is right.
    async fn verify_password(
        &self,
        login: &LoginAttempt<'_>,
        password: &Password,
        admission: Admission,
        origin: Origin,
    ) -> Result<Option<Admin>, Error> {
        let acquire = async || {
            let permit = self.passwords.acquire_permit(login.network, admission.priority).await;
            let permit = permit.inspect_err(|error| self.count_throttled(error))?;
            // Other logins may have failed for this name while this one waited.
            self.check(login.name, origin)?;
            Ok(permit)
        };
        let is_correct = self.passwords.verify(login, password.clone(), acquire).await?;
        Ok(login.admin.filter(|_| is_correct).cloned())
    }

    /// Returns the legacy server, and the attempt to make there if this login fails here.
    fn candidate(&self, login: &LoginAttempt<'_>, password: Option<&Password>) -> Option<(&LegacyLogin, Candidate)> {
        let legacy = self.legacy.get()?;
        Some((legacy, legacy.candidate(login, password, self.now())?))
    }

    /// Asks the legacy server about a login. If it accepts the credentials, adds the admin, or
    /// replaces the password that an earlier login at the legacy server set.
    async fn take_over(&self, legacy: &LegacyLogin, candidate: Candidate, origin: Origin) -> Result<TakeOver, Error> {
        let take_over = async || {
            let outcome = match self.find_name(&candidate).await? {
                NameState::Added => return Ok(TakeOver::Changed),
                NameState::Taken => LegacyLoginOutcome::Refused,
                NameState::Free => legacy.ask(&candidate).await,
            };
            self.metrics.count_legacy_login(outcome);
            match outcome {
                LegacyLoginOutcome::Accepted => self.store_admin(&candidate, legacy.role, origin).await,
                LegacyLoginOutcome::Refused | LegacyLoginOutcome::Failed => {
                    legacy.remember_refused(&candidate, self.now());
                    Ok(TakeOver::Refused)
                }
                LegacyLoginOutcome::Busy => Ok(TakeOver::Refused),
            }
        };
        legacy.in_flight.share(candidate.key, take_over).await
    }

    /// Looks up the name of a candidate again: the login may have waited for others.
    async fn find_name(&self, candidate: &Candidate) -> Result<NameState, Error> {
        if candidate.known_hash.is_some() {
            return Ok(NameState::Free);
        }
        let name = candidate.name.clone();
        let find = move |conn: &mut AnyConnection| {
            if admins::find(conn, &name)?.is_some() {
                Ok(NameState::Added)
            } else if admins::is_taken(conn, &name)? {
                Ok(NameState::Taken)
            } else {
                Ok(NameState::Free)
            }
        };
        self.transactor.store.read_fast(find).await
    }

    async fn store_admin(&self, candidate: &Candidate, role: Role, origin: Origin) -> Result<TakeOver, Error> {
        let random = self.transactor.random.as_ref();
        let hashing = self
            .passwords
            .hash(candidate.password.clone(), random, origin.network());
        let admin = Admin {
            name: candidate.name.clone(),
            password_hash: hashing.await?,
            password_origin: PasswordOrigin::LegacyLogin,
            role,
        };
        let call = Call {
            caller: Caller::LegacyLogin,
            origin,
        };
        let known_hash = candidate.known_hash.clone();
        let lock = |conn: &mut AnyConnection, _: &Caller| Ok(admins::lock_table(conn)?);
        let work = move |tx: &mut Transaction<'_>, ()| insert_or_replace(tx, admin, known_hash);
        self.transactor
            .run(self.transactor.store.timeout(), call, lock, work)
            .await
    }

    fn now(&self) -> Instant {
        self.transactor.clock.monotonic()
    }

    /// Records a successful login.
    pub fn accept(&self, name: &AdminName, origin: Origin) {
        self.throttle
            .record_success(origin.network(), name.as_str(), self.now());
        self.metrics
            .count_authentication(CredentialKind::Password, AuthenticationOutcome::Accepted);
    }

    fn check(&self, name: &str, origin: Origin) -> Result<(), Error> {
        let checked = self.throttle.check(origin.network(), name, self.now());
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
            .record_refusal(origin, Refusal::Password, subject, self.now());
        Error::Unauthenticated(Refusal::Password)
    }
}

/// Adds an admin whose credentials the legacy server accepted, or replaces the password. Changes
/// nothing if the admin was changed since the login: `known_hash` is the hash that was stored then.
fn insert_or_replace(
    tx: &mut Transaction<'_>,
    admin: Admin,
    known_hash: Option<PasswordHash>,
) -> Result<TakeOver, Error> {
    authorize(&tx.caller, Operation::ManageAdmins, None)?;
    let name = json!(admin.name.as_str());
    match (admins::find(tx.conn, &admin.name)?, known_hash) {
        (None, None) if !admins::is_taken(tx.conn, &admin.name)? => {
            admins::insert(tx.conn, &admin, tx.now)?;
            let details = json!({ "admin": name, "role": admin.role.name() });
            tx.record(Action::AdminAdded, details)?;
            Ok(TakeOver::Done(admin))
        }
        (Some(before), Some(known))
            if before.password_hash == known && before.password_origin == PasswordOrigin::LegacyLogin =>
        {
            let admin = Admin {
                password_hash: admin.password_hash,
                ..before
            };
            admins::set_password(tx.conn, &admin, tx.now)?;
            tx.record(Action::AdminPasswordChanged, json!({ "admin": name }))?;
            Ok(TakeOver::Done(admin))
        }
        _ => Ok(TakeOver::Changed),
    }
}
