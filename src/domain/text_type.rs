//! Types of text that people write: names and annotations.

use super::text::{code_point, is_visible, to_nfc};

/// Declares a type of text that is normalized and validated when it is parsed.
///
/// ```text
/// text_type! {
///     /// A motto.
///     #[derive(Clone, Debug)]
///     pub struct Motto as "motto"(normalize_motto);
/// }
///
/// fn normalize_motto(text: &str) -> Result<String, TextProblem> {
///     normalize(text, MAX_CHARS, find_invisible)
/// }
/// ```
macro_rules! text_type {
    (
        $(#[$attribute:meta])*
        pub struct $type:ident as $field:literal($normalize:path);
    ) => {
        $(#[$attribute])*
        pub struct $type(String);

        impl $type {
            /// Normalizes `text` to NFC and validates it.
            ///
            /// # Errors
            /// The rule of this type that `text` breaks.
            pub fn parse(text: &str) -> Result<Self, $crate::domain::text_type::TextProblem> {
                $normalize(text).map(Self)
            }

            /// Accepts a stored text without validation: earlier versions allowed more.
            #[must_use]
            pub const fn from_stored(text: String) -> Self {
                Self(text)
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = Invalid;

            /// Normalizes `text` to NFC and validates it.
            ///
            /// # Errors
            /// [`Invalid`] if `text` breaks a rule of this type.
            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::parse(text).map_err(|problem| Invalid::new($field, problem.to_string()))
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(super) use text_type;

/// The rule that a text breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextProblem {
    /// It is too long.
    #[error("has {chars} characters; the maximum is {max}")]
    TooLong {
        /// Number of characters.
        chars: usize,
        /// Maximum number of characters.
        max: usize,
    },
    /// It contains a control or format character, which is not shown.
    #[error("must not contain {}, a control or format character", code_point(*.0))]
    Invisible(char),
    /// It contains nothing that can be seen.
    #[error("must contain a visible character")]
    Blank,
    /// It contains a colon, which ends the user name in HTTP Basic (RFC 7617).
    #[error("must not contain a colon, which ends the name in HTTP Basic")]
    Colon,
}

/// Normalizes a text to NFC and validates it: at most `max` characters, at least one of them
/// visible, and none that `find_refused` finds.
///
/// # Errors
/// The rule that `text` breaks.
pub(super) fn normalize(text: &str, max: usize, find_refused: fn(&str) -> Option<char>) -> Result<String, TextProblem> {
    let text = to_nfc(text).into_owned();
    let chars = text.chars().count();
    if chars > max {
        return Err(TextProblem::TooLong { chars, max });
    }
    if let Some(letter) = find_refused(&text) {
        return Err(TextProblem::Invisible(letter));
    }
    if !is_visible(&text) {
        return Err(TextProblem::Blank);
    }
    Ok(text)
}
