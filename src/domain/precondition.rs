//! Preconditions of changes.

use super::token::{Token, TokenId, TokenVersion};

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

    /// Parses the output of `Display`. Returns `None` for all other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, version) = text.rsplit_once('-')?;
        let tag = Self {
            id: TokenId::parse(id)?,
            version: TokenVersion::from_number(version.parse().ok()?)?,
        };
        (tag.to_string() == text).then_some(tag)
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
        assert_eq!(TokenTag::parse(text).unwrap().to_string(), text);
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
            assert_eq!(TokenTag::parse(other), None, "{other:?}");
        }
    }
}
