//! The counters of authentication attempts.

use prometheus::{IntCounter, IntCounterVec, Registry};

use super::{super::Refusal, counters};

/// The counters of authentication attempts, by kind of credential.
pub(super) struct Authentications {
    value: AuthenticationCounters,
    legacy_uuid: AuthenticationCounters,
    password: AuthenticationCounters,
}

// The series of counters start at zero, before the first event. Otherwise Prometheus would not see
// that event as an increase.
impl Authentications {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = counters(
            registry,
            "tokenbridge_authentications_total",
            "Number of authentication attempts, by kind of credential and outcome",
            &["kind", "outcome"],
        )?;
        Ok(Self {
            value: AuthenticationCounters::new(&counters, "value"),
            legacy_uuid: AuthenticationCounters::new(&counters, "legacy-uuid"),
            password: AuthenticationCounters::new(&counters, "password"),
        })
    }

    pub(super) const fn of(&self, kind: CredentialKind) -> &AuthenticationCounters {
        match kind {
            CredentialKind::Value => &self.value,
            CredentialKind::LegacyUuid => &self.legacy_uuid,
            CredentialKind::Password => &self.password,
        }
    }
}

/// The counters of authentication attempts with one kind of credential, by outcome.
pub(super) struct AuthenticationCounters {
    accepted: IntCounter,
    wrong: IntCounter,
    disabled: IntCounter,
    expired: IntCounter,
    address: IntCounter,
    throttled: IntCounter,
}

impl AuthenticationCounters {
    fn new(counters: &IntCounterVec, kind: &str) -> Self {
        let counter = |outcome| counters.with_label_values(&[kind, outcome]);
        Self {
            accepted: counter("accepted"),
            wrong: counter("wrong"),
            disabled: counter("disabled"),
            expired: counter("expired"),
            address: counter("address"),
            throttled: counter("throttled"),
        }
    }

    pub(super) const fn of(&self, outcome: AuthenticationOutcome) -> &IntCounter {
        match outcome {
            AuthenticationOutcome::Accepted => &self.accepted,
            AuthenticationOutcome::Refused(
                Refusal::Missing
                | Refusal::Malformed
                | Refusal::DifferentKeys
                | Refusal::DifferentAuthorizations
                | Refusal::DifferentClients
                | Refusal::Password
                | Refusal::Value,
            ) => &self.wrong,
            AuthenticationOutcome::Refused(Refusal::Disabled) => &self.disabled,
            AuthenticationOutcome::Refused(Refusal::Expired) => &self.expired,
            AuthenticationOutcome::Refused(Refusal::Address) => &self.address,
            AuthenticationOutcome::Throttled => &self.throttled,
        }
    }
}

/// The kind of credential in an authentication attempt.
#[derive(Clone, Copy)]
pub enum CredentialKind {
    /// A token's value.
    Value,
    /// The UUID of a legacy token, at the gate.
    LegacyUuid,
    /// An admin's name and password.
    Password,
}

/// The outcome of an authentication attempt.
#[derive(Clone, Copy)]
pub enum AuthenticationOutcome {
    /// The credential was accepted.
    Accepted,
    /// The credential was refused.
    Refused(Refusal),
    /// The credential was not verified because of too many failures.
    Throttled,
}
