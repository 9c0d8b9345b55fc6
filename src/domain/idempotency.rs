//! Idempotency keys (draft-ietf-httpapi-idempotency-key-header): a request that a client repeats with the same key is
//! executed once.

use std::{str::FromStr, time::Duration};

use sha2::{Digest, Sha256};

use super::{Invalid, actor::Actor, token::TokenId};

/// Time for which a key is stored.
pub const KEY_RETENTION: Duration = Duration::from_hours(24);

const MAX_KEY_LENGTH: usize = 255;

/// An idempotency key, as the client chose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl FromStr for IdempotencyKey {
    type Err = Invalid;

    /// Parses the value of the header: a string of RFC 9651 in quotes, or the characters alone.
    ///
    /// # Errors
    /// [`Invalid`] unless there are 1 to 255 visible ASCII characters.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let key = match text.strip_prefix('"') {
            Some(rest) => unquote(rest),
            None => Some(text.to_owned()),
        };
        key.filter(|key| (1..=MAX_KEY_LENGTH).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()))
            .map(Self)
            .ok_or_else(|| {
                let message = format!(
                    "must be 1 to {MAX_KEY_LENGTH} visible ASCII characters, optionally in double quotes; a UUID is a \
                        good one"
                );
                Invalid::new("Idempotency-Key", message)
            })
    }
}

/// Returns the content of a quoted string after its opening quote. Only quotes and backslashes are escaped.
fn unquote(rest: &str) -> Option<String> {
    let mut content = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return characters.as_str().is_empty().then_some(content),
            '\\' => content.push(characters.next().filter(|escaped| ['"', '\\'].contains(escaped))?),
            other => content.push(other),
        }
    }
}

/// The SHA-256 of an idempotency key with its scope: the caller, the operation, and its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

impl IdempotencyKey {
    /// Hashes the key for an operation of a caller on `target`, if it has one.
    #[must_use]
    pub fn hash(&self, caller: &Actor, operation: &str, target: Option<TokenId>) -> KeyHash {
        let target = target.map(|id| id.to_string()).unwrap_or_default();
        let parts = [caller.kind.name(), &caller.id, operation, &target, &self.0];
        let mut digest = Sha256::new();
        for part in parts {
            // The length prefix keeps ("ab", "c") and ("a", "bc") apart.
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        KeyHash(digest.finalize().into())
    }
}

impl KeyHash {
    /// Returns the stored form.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The SHA-256 of the payload of a request in a canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadHash([u8; 32]);

impl PayloadHash {
    /// Hashes a payload. The keys of a JSON object are sorted.
    #[must_use]
    pub fn new(payload: &serde_json::Value) -> Self {
        Self(Sha256::digest(payload.to_string()).into())
    }

    /// Reads a stored hash. Returns `None` unless there are exactly 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns the stored form.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::actor::ActorKind;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_quoted_or_bare() {
        let key = |text: &str| text.parse::<IdempotencyKey>().ok().map(|key| key.0);
        for (text, parsed) in [
            (
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
                Some("8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ),
            ("\"8e03978e\"", Some("8e03978e")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            (r#"a"b"#, Some(r#"a"b"#)),
            ("", None),
            ("\"\"", None),
            ("\"", None),
            ("\"a", None),
            ("\"a\"b", None),
            ("\"a\";p=1", None),
            (r#""a\b""#, None),
            (r#""a\"#, None),
            ("a b", None),
            ("\"a b\"", None),
            ("ä", None),
            ("a\u{7f}", None),
        ] {
            assert_eq!(key(text).as_deref(), parsed, "{text:?}");
        }
        assert!(key(&"k".repeat(255)).is_some() && key(&"k".repeat(256)).is_none());
        assert!(key(&format!("\"{}\"", "k".repeat(255))).is_some());
    }

    #[test]
    fn keys_of_different_scopes_differ() {
        let key: IdempotencyKey = "k".parse().unwrap();
        let actor = |id: &str, kind| Actor {
            id: id.to_owned(),
            kind,
        };
        let id = "d0ea6653-05e2-4d51-9d89-665cdfe86be6".parse().ok();
        let hash = key.hash(&actor("ab", ActorKind::User), "create", None);
        for other in [
            key.hash(&actor("ab", ActorKind::ApiToken), "create", None),
            key.hash(&actor("a", ActorKind::User), "bcreate", None),
            key.hash(&actor("ab", ActorKind::User), "rotate", None),
            key.hash(&actor("ab", ActorKind::User), "create", id),
            "kk".parse::<IdempotencyKey>()
                .unwrap()
                .hash(&actor("ab", ActorKind::User), "create", None),
        ] {
            assert_ne!(hash, other);
        }
        assert_eq!(hash, key.hash(&actor("ab", ActorKind::User), "create", None));
    }

    proptest! {
        #[test]
        fn quoting_does_not_change_a_key(key in "[!-~]{1,255}") {
            let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
            let bare = (!key.starts_with('"')).then(|| key.parse::<IdempotencyKey>());
            prop_assert_eq!(quoted.parse(), Ok(IdempotencyKey(key)));
            if let Some(bare) = bare {
                prop_assert_eq!(bare, quoted.parse());
            }
        }
    }
}
