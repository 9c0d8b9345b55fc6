//! Invalid input, and suggestions for misspelled names.

use std::{borrow::Cow, str::FromStr};

use super::printable::escape_unprintable;

/// An invalid field of a request, with a message that says how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    field: Cow<'static, str>,
    message: String,
}

impl Invalid {
    /// Creates an error about `field`. `message` says what is wrong and how to fix it. It may quote
    /// the input: control characters are escaped.
    pub fn new(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: escape_unprintable(&message.into()).into_owned(),
        }
    }

    /// Returns the name of the field.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Returns the same error about the item at `index` of the field, which is a list.
    #[must_use]
    pub fn at_index(self, index: usize) -> Self {
        Self {
            field: Cow::Owned(format!("{}[{index}]", self.field)),
            ..self
        }
    }
}

/// A text that is not of the form of a type. It does not quote the text, which may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {0}")]
pub struct Malformed(
    /// The form of the type.
    pub &'static str,
);

/// Parses the text of `field`.
///
/// # Errors
/// That of the type, about this field.
pub fn parse_field<T: FromStr<Err = Invalid>>(field: &'static str, text: &str) -> Result<T, Invalid> {
    text.parse().map_err(|Invalid { message, .. }| Invalid {
        field: Cow::Borrowed(field),
        message,
    })
}

/// Returns the entry of `known` that is most similar to `word`, if it is similar enough for a
/// suggestion ("did you mean …?").
#[must_use]
pub fn find_closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = word.to_ascii_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&folded, &name.to_ascii_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Returns the item of `all` with the name `text`.
///
/// # Errors
/// [`Invalid`] if there is none. The message suggests a similar name, or lists all names.
pub fn parse_name<T: Copy>(
    field: &'static str,
    text: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, Invalid> {
    all.iter().copied().find(|one| name(*one) == text).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|one| name(*one)).collect();
        let fix = find_closest(text, names.iter().copied()).map_or_else(
            || format!("use one of {}", names.join(", ")),
            |meant| format!("did you mean {meant:?}?"),
        );
        Invalid::new(field, format!("unknown value {text:?}; {fix}"))
    })
}
