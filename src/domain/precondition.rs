//! Preconditions of changes.

use std::str::FromStr;

use super::{
    invalid::Malformed,
    token::{Token, TokenId, TokenVersion},
};

/// A state of a token. Its text is the opaque part of an entity tag (RFC 9110, section 8.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenTag {
    /// The ID of the token.
    pub id: TokenId,
    /// The version of the token.
    pub version: TokenVersion,
}

impl TokenTag {
    /// Returns the current state of a token.
    #[must_use]
    pub const fn of(token: &Token) -> Self {
        Self {
            id: token.id,
            version: token.version,
        }
    }
}

impl FromStr for TokenTag {
    type Err = Malformed;

    /// Parses the output of `Display`.
    ///
    /// # Errors
    /// [`Malformed`] for all other text.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parse = || {
            let (id, version) = text.rsplit_once('-')?;
            Some(Self {
                id: id.parse().ok()?,
                version: TokenVersion::from_number(version.parse().ok()?)?,
            })
        };
        // Other spellings of the same numbers are other tags.
        parse()
            .filter(|tag| tag.to_string() == text)
            .ok_or(Malformed("the ID and the version of a token"))
    }
}

/// Writes the ID and the version, separated by a hyphen.
impl std::fmt::Display for TokenTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.id, self.version)
    }
}

/// The states of a token that a change may start from, checked in the transaction of the change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Any state.
    #[default]
    None,
    /// One of these states.
    OneOf(Vec<TokenTag>),
}

impl Precondition {
    /// Returns `true` if a change may start from the current state of `token`.
    #[must_use]
    pub fn allows(&self, token: &Token) -> bool {
        match self {
            Self::None => true,
            Self::OneOf(tags) => tags.contains(&TokenTag::of(token)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_written_form_is_a_tag() {
        let text = "d0ea6653-05e2-4d51-9d89-665cdfe86be6-12";
        assert_eq!(text.parse::<TokenTag>().unwrap().to_string(), text);
        for other in [
            "",
            "12",
            "-12",
            "d0ea6653-05e2-4d51-9d89-665cdfe86be6",
            "d0ea6653-05e2-4d51-9d89-665cdfe86be6-0",
            "d0ea6653-05e2-4d51-9d89-665cdfe86be6-012",
            "d0ea6653-05e2-4d51-9d89-665cdfe86be6-+12",
            "D0EA6653-05e2-4d51-9d89-665cdfe86be6-12",
        ] {
            assert!(other.parse::<TokenTag>().is_err(), "{other:?}");
        }
    }
}
