//! Texts about a token that do not affect its use.

use super::{Invalid, name::normalize, text::find_invisible};

/// The purpose of a token: 1 to 1,000 characters in NFC, at least one of them visible. It may contain
/// line feeds, but no other control characters, and format characters only as a name may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description(String);

impl Description {
    const MAX_CHARS: usize = 1000;

    /// Normalizes `text` to NFC and validates it.
    ///
    /// # Errors
    /// [`Invalid`] if `text` breaks one of these rules.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let find_refused = |text: &str| text.split('\n').find_map(find_invisible);
        normalize("description", text, Self::MAX_CHARS, find_refused).map(Self)
    }

    /// Accepts a stored description without validation.
    #[must_use]
    pub const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// Returns the description as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The person or team to ask about a token: 1 to 255 characters in NFC, under the rules for names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner(String);

impl Owner {
    const MAX_CHARS: usize = 255;

    /// Normalizes `text` to NFC and validates it.
    ///
    /// # Errors
    /// [`Invalid`] if `text` breaks one of these rules.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        normalize("owner", text, Self::MAX_CHARS, find_invisible).map(Self)
    }

    /// Accepts a stored owner without validation.
    #[must_use]
    pub const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// Returns the owner as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_may_have_several_lines() {
        assert_eq!(Description::parse("u\u{308}\n\nb").unwrap().as_str(), "\u{fc}\n\nb");
        assert!(Description::parse(&"\u{e9}".repeat(1000)).is_ok());
        for (text, message) in [
            ("\n \n", "description: must contain a visible character"),
            (
                "a\r\nb",
                "description: must not contain U+000D, a control or format character",
            ),
            (
                "a\u{200d}\nb",
                "description: must not contain U+200D, a control or format character",
            ),
            (
                "a\u{2028}b",
                "description: must not contain U+2028, a control or format character",
            ),
            (
                &*"a".repeat(1001),
                "description: has 1001 characters; the maximum is 1000",
            ),
        ] {
            assert_eq!(Description::parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn owners_follow_the_rules_for_names() {
        assert_eq!(Owner::parse("Ju\u{308}rgen").unwrap().as_str(), "J\u{fc}rgen");
        for (text, message) in [
            ("\u{3164}", "owner: must contain a visible character"),
            ("a\nb", "owner: must not contain U+000A, a control or format character"),
            (
                "a\u{202e}b",
                "owner: must not contain U+202E, a control or format character",
            ),
            (&*"a".repeat(256), "owner: has 256 characters; the maximum is 255"),
        ] {
            assert_eq!(Owner::parse(text).unwrap_err().to_string(), message);
        }
    }
}
