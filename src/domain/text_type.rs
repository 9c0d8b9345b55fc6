//! Types of text that people write: names and annotations.

use super::{
    Invalid,
    text::{is_visible, to_nfc},
};

/// Declares a type of text that is normalized and validated when it is parsed.
///
/// ```text
/// text_type! {
///     /// A motto.
///     #[derive(Clone, Debug)]
///     pub struct Motto(normalize_motto);
/// }
///
/// fn normalize_motto(text: &str) -> Result<String, Invalid> {
///     normalize("motto", text, MAX_CHARS, find_invisible)
/// }
/// ```
macro_rules! text_type {
    (
        $(#[$attribute:meta])*
        pub struct $type:ident($normalize:path);
    ) => {
        $(#[$attribute])*
        pub struct $type(String);

        impl $type {
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
                $normalize(text).map(Self)
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

/// Normalizes a text to NFC and validates it: at most `max_chars` characters, at least one of them
/// visible, and none that `find_refused` finds.
///
/// # Errors
/// [`Invalid`] if `text` is not valid.
pub(super) fn normalize(
    field: &'static str,
    text: &str,
    max_chars: usize,
    find_refused: fn(&str) -> Option<char>,
) -> Result<String, Invalid> {
    let text = to_nfc(text).into_owned();
    let length = text.chars().count();
    if length > max_chars {
        return Err(Invalid::new(
            field,
            format!("has {length} characters; the maximum is {max_chars}"),
        ));
    }
    if let Some(letter) = find_refused(&text) {
        let code = u32::from(letter);
        return Err(Invalid::new(
            field,
            format!("must not contain U+{code:04X}, a control or format character"),
        ));
    }
    if !is_visible(&text) {
        return Err(Invalid::new(field, "must contain a visible character"));
    }
    Ok(text)
}
