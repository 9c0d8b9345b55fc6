//! Changes of one field.

use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// The change of a field that may have no value. In JSON: absent, `null`, or the new value. Use it
/// with `#[serde(default)]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// The field keeps its value.
    #[default]
    Keep,
    /// The value is removed.
    Clear,
    /// This is the new value.
    Set(T),
}

impl<T> Patch<T> {
    /// Returns the value after the change.
    #[must_use]
    pub fn apply(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Keep => current,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

impl Patch<String> {
    /// Parses the new value. An empty text removes the value.
    ///
    /// # Errors
    /// Those of the value's type.
    pub fn parse<T: FromStr>(&self) -> Result<Patch<T>, T::Err> {
        match self {
            Self::Keep => Ok(Patch::Keep),
            Self::Clear => Ok(Patch::Clear),
            Self::Set(text) => text.parse(),
        }
    }
}

impl<T: FromStr> FromStr for Patch<T> {
    type Err = T::Err;

    /// Parses a new value. An empty text removes the value.
    ///
    /// # Errors
    /// Those of the value's type.
    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text.is_empty() {
            Ok(Self::Clear)
        } else {
            text.parse().map(Self::Set)
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|value| value.map_or(Self::Clear, Self::Set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_null_and_present_fields_differ() {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            field: Patch<u8>,
        }
        for (json, expected) in [
            ("{}", Patch::Keep),
            (r#"{"field":null}"#, Patch::Clear),
            (r#"{"field":1}"#, Patch::Set(1)),
        ] {
            assert_eq!(serde_json::from_str::<Body>(json).unwrap().field, expected, "{json}");
        }
    }
}
