//! Selections of tokens, for changes of many at once.

use std::str::FromStr;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{
    Invalid,
    page::TokenFilter,
    token::{Token, TokenId},
};

/// The tokens to change.
#[derive(Clone, Debug)]
pub enum Selection {
    /// All tokens that match a filter.
    Matching(TokenFilter),
    /// The tokens with these IDs, as far as they exist.
    Tokens(Vec<TokenId>),
}

/// The tokens of a selection, to confirm a change of them.
#[derive(Clone, Debug)]
pub struct SelectionPreview {
    /// The number of tokens.
    pub count: u64,
    /// Identifies the set of tokens.
    pub digest: SelectionDigest,
    /// The first tokens.
    pub first: Vec<Token>,
}

/// The SHA-256 of a set of token IDs. A change that was confirmed with it affects exactly those tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectionDigest([u8; 32]);

impl SelectionDigest {
    /// Hashes sorted IDs.
    #[must_use]
    pub fn of(ids: &[TokenId]) -> Self {
        let mut hasher = Sha256::new();
        for id in ids {
            hasher.update(id.to_string());
        }
        Self(hasher.finalize().into())
    }
}

impl FromStr for SelectionDigest {
    type Err = Invalid;

    /// Parses the output of `Display`.
    ///
    /// # Errors
    /// Returns [`Invalid`] if `text` is not a digest.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut bytes = [0; 32];
        let length = BASE64_URL_SAFE_NO_PAD.decode_slice(text, &mut bytes);
        let is_complete = length.is_ok_and(|length| length == bytes.len());
        is_complete
            .then_some(Self(bytes))
            .ok_or_else(|| Invalid::new("digest", "must be the unchanged digest of the selection"))
    }
}

impl std::fmt::Display for SelectionDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_identify_sets_of_tokens() {
        let id = |byte| TokenId::from_random_bytes([byte; 16]);
        let digest = SelectionDigest::of(&[id(1), id(2)]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for other in [&[id(1)][..], &[id(2)], &[id(1), id(3)], &[]] {
            assert_ne!(SelectionDigest::of(other), digest);
        }
        for wrong in ["", "x", "AAAA", &format!("{digest}A")] {
            assert!(wrong.parse::<SelectionDigest>().is_err(), "{wrong}");
        }
    }
}
