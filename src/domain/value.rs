//! Token values (the secrets), and the hashes that are stored in their place.

use std::hash::{Hash, Hasher};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::random::{Random, RandomError};

const PREFIX: &str = "tbk_";
const RANDOM_BYTES: usize = 32;
const RANDOM_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;

/// A token value: `tbk_`, 32 random bytes as 43 characters of base64url, and the CRC-32 of those 43
/// characters as six more.
///
/// Only the responses of create and rotate contain it. `Debug` does not show it, and it is wiped
/// from memory when dropped.
#[derive(Clone, Debug)]
pub struct TokenValue(SecretString);

impl TokenValue {
    /// Generates a value.
    ///
    /// # Errors
    /// Returns [`RandomError`] if the random source fails.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = [0; RANDOM_BYTES];
        random.fill(&mut bytes)?;
        let mut text = String::with_capacity(PREFIX.len() + RANDOM_CHARS + CHECKSUM_CHARS);
        text.push_str(PREFIX);
        BASE64_URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        let checksum = checksum(text.get(PREFIX.len()..).unwrap_or_default());
        BASE64_URL_SAFE_NO_PAD.encode_string(checksum, &mut text);
        Ok(Self(text.into()))
    }

    /// Returns the secret itself, for the one response that contains it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns the hash, which is all that the store keeps.
    #[must_use]
    pub fn hash(&self) -> ValueHash {
        ValueHash(Sha256::digest(self.expose()).into())
    }
}

/// Finds a text that begins like a value, such as the value itself, a part of it, or a header that contains it. Returns
/// it without what surrounds it. Such a text is a secret: it must not get into a URL.
#[must_use]
pub fn find_value(text: &str) -> Option<&str> {
    let start = text.to_ascii_lowercase().find(PREFIX)?;
    let found = text.get(start..)?;
    let end = found.find(|letter: char| !letter.is_ascii_alphanumeric() && !"-_".contains(letter));
    found.get(..end.unwrap_or(found.len()))
}

/// The SHA-256 of a token value. A value has 256 random bits, so it needs neither salt nor stretching.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ValueHash([u8; 32]);

/// Feeds the first eight bytes, which are uniformly distributed, to the hasher. Searching for
/// values whose hashes agree in these bytes gains an attacker nothing: maps contain only values of
/// existing tokens, and their hasher is keyed.
impl Hash for ValueHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [first, ..] = self.0.as_chunks::<8>().0 else { return };
        state.write_u64(u64::from_ne_bytes(*first));
    }
}

impl ValueHash {
    /// Hashes a presented value. Returns `None` if its format or its checksum is wrong, so most
    /// garbage needs no lookup.
    #[must_use]
    pub fn from_presented(text: &str) -> Option<Self> {
        let (random, given) = text.strip_prefix(PREFIX)?.split_at_checked(RANDOM_CHARS)?;
        let mut bytes = [0; RANDOM_BYTES];
        let canonical = BASE64_URL_SAFE_NO_PAD.decode_slice(random, &mut bytes).ok()? == RANDOM_BYTES;
        let mut given_checksum = [0; 4];
        let complete = given.len() == CHECKSUM_CHARS
            && BASE64_URL_SAFE_NO_PAD.decode_slice(given, &mut given_checksum).ok()? == given_checksum.len();
        (canonical && complete && given_checksum == checksum(random)).then(|| Self(Sha256::digest(text).into()))
    }

    /// Reads a stored hash. Returns `None` unless there are exactly 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns the stored form of the hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first 16 hexadecimal digits of the hash. They identify a value among those of a token, also for
    /// its holder (`sha256sum`), and reveal nothing of its 256 random bits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        const SHOWN: usize = 8;
        let digits = self.0.iter().take(SHOWN).map(|byte| format!("{byte:02x}"));
        digits.collect()
    }
}

impl std::fmt::Debug for ValueHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ValueHash([redacted])")
    }
}

fn checksum(random: &str) -> [u8; 4] {
    crc32fast::hash(random.as_bytes()).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Fixed([u8; RANDOM_BYTES]);

    impl Random for Fixed {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
            bytes.copy_from_slice(&self.0);
            Ok(())
        }
    }

    #[test]
    fn values_have_the_documented_format() {
        let value = TokenValue::generate(&Fixed([0; RANDOM_BYTES])).unwrap();
        assert_eq!(value.expose(), "tbk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADCtZhg");
        assert_eq!(value.expose().len(), 53);
    }

    #[test]
    fn values_are_found_in_what_surrounds_them() {
        for (text, found) in [
            ("tbk_AbC-_9", Some("tbk_AbC-_9")),
            ("X-API-Key: tbk_AbC", Some("tbk_AbC")),
            ("\u{201c}tbk_AbC\u{201d}, please", Some("tbk_AbC")),
            ("TBK_AbC", Some("TBK_AbC")),
            ("tbk_", Some("tbk_")),
            ("tbk AbC", None),
            ("\u{130}", None),
        ] {
            assert_eq!(find_value(text), found, "{text}");
        }
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let value = TokenValue::generate(&Fixed([7; RANDOM_BYTES])).unwrap();
        assert!(!format!("{value:?}").contains(&value.expose()[4..]));
        assert_eq!(format!("{:?}", value.hash()), "ValueHash([redacted])");
    }

    proptest! {
        #[test]
        fn generated_values_are_recognized(bytes: [u8; RANDOM_BYTES]) {
            let value = TokenValue::generate(&Fixed(bytes)).unwrap();
            prop_assert_eq!(ValueHash::from_presented(value.expose()), Some(value.hash()));
        }

        #[test]
        fn a_changed_character_is_rejected(bytes: [u8; RANDOM_BYTES], place in 0usize..53, with in "[A-Za-z0-9_-]") {
            let value = TokenValue::generate(&Fixed(bytes)).unwrap();
            let mut changed = value.expose().to_owned();
            changed.replace_range(place..=place, &with);
            prop_assume!(changed != value.expose());
            prop_assert_eq!(ValueHash::from_presented(&changed), None);
        }

        #[test]
        fn garbage_is_rejected(text in "(tbk_)?.{0,60}") {
            prop_assert_eq!(ValueHash::from_presented(&text), None);
        }
    }
}
