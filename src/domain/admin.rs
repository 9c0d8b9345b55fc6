//! Admins: people and scripts that authenticate with a name and a password.

use secrecy::{ExposeSecret, SecretString};

use super::{Invalid, name::AdminName, named::named_enum, text::prepare_password};

/// The password of an admin: 1 to 1,024 bytes without control characters (RFC 7617), prepared as
/// RFC 8265 requires.
#[derive(Clone, Debug)]
pub struct Password {
    prepared: SecretString,
    typed: SecretString,
}

impl Password {
    /// Validates and prepares a password.
    ///
    /// # Errors
    /// [`Invalid`] if `text` is not such a password. The message does not contain it.
    pub fn parse(text: SecretString) -> Result<Self, Invalid> {
        let exposed = text.expose_secret();
        if exposed.is_empty() || exposed.len() > 1024 {
            return Err(Invalid::new("password", "must have 1 to 1024 bytes"));
        }
        if exposed.chars().any(char::is_control) {
            return Err(Invalid::new("password", "must not contain control characters"));
        }
        Ok(Self {
            prepared: prepare_password(exposed).into(),
            typed: text,
        })
    }

    /// Returns the prepared password, for hashing.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.prepared.expose_secret()
    }

    /// Returns the password as it was typed.
    #[must_use]
    pub fn expose_typed(&self) -> &str {
        self.typed.expose_secret()
    }

    /// Returns the secrets to verify against a stored hash: earlier versions hashed passwords as they were typed.
    pub fn candidates(&self) -> impl Iterator<Item = &str> {
        let typed = Some(self.expose_typed()).filter(|typed| *typed != self.expose());
        std::iter::once(self.expose()).chain(typed)
    }

    /// Returns `true` if the password has fewer than eight characters, the minimum of NIST SP
    /// 800-63B.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.expose().chars().count() < 8
    }
}

/// The argon2id hash of a password, as a PHC string.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps a PHC string without validation.
    #[must_use]
    pub fn from_phc(text: String) -> Self {
        Self(text)
    }

    /// Returns the PHC string.
    #[must_use]
    pub fn as_phc(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash([redacted])")
    }
}

named_enum! {
    /// The role of an admin: what the admin may do.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
    pub enum Role as "role" {
        /// Everything.
        #[default]
        Admin = "admin",
        /// Manage tokens, read the audit log and the legacy report.
        Operator = "operator",
        /// Read everything, and change nothing.
        Auditor = "auditor",
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

named_enum! {
    /// The origin of an admin's password.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum PasswordOrigin as "passwordOrigin" {
        /// It was set here.
        #[default]
        Local = "local",
        /// It was taken over from the legacy server, which may replace it.
        LegacyLogin = "legacy-login",
    }
}

named_enum! {
    /// The outcome of a login at the legacy server.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum LegacyLoginOutcome {
        /// The legacy server accepted the credentials.
        Accepted = "accepted",
        /// It refused them, or the name must not be taken over.
        Refused = "refused",
        /// It did not respond in time, or with something else.
        Failed = "failed",
        /// Too many attempts were running. The legacy server was not asked.
        Busy = "busy",
    }
}

/// An admin.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The name.
    pub name: AdminName,
    /// The hash of the password.
    pub password_hash: PasswordHash,
    /// The origin of the password.
    pub password_origin: PasswordOrigin,
    /// The role.
    pub role: Role,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown() {
        let password = Password::parse(SecretString::from("correct horse")).unwrap();
        assert!(!format!("{password:?}").contains("horse"));
        assert!(Password::parse(SecretString::from("")).is_err());
        assert!(Password::parse(SecretString::from("a\u{7}b")).is_err());
    }
}
