//! Names of tokens and admins.

use super::{
    Invalid,
    text::{find_invisible, fold},
    text_type::{TextProblem, normalize, text_type},
};

const MAX_CHARS: usize = 255;

text_type! {
    /// The display name of a token: 1 to 255 characters in NFC, at least one of them visible, without
    /// control or format characters. Names need not be unique.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    pub struct TokenName as "name"(normalize_token_name);
}

text_type! {
    /// The name of an admin. The rules for token names apply; a colon is refused because it ends the
    /// user name in HTTP Basic (RFC 7617).
    #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub struct AdminName as "admin name"(normalize_admin_name);
}

impl AdminName {
    /// Parses a name that refers to an existing admin. Accepts every name that could have been
    /// stored.
    #[must_use]
    pub fn parse_existing(text: &str) -> Option<Self> {
        let possible = text.chars().count() <= MAX_CHARS && !text.chars().any(char::is_control);
        possible.then(|| Self(text.to_owned()))
    }

    /// Returns a key that is equal for names that differ only in what user directories commonly
    /// ignore: case, accents, width, and repeated blanks.
    #[must_use]
    pub fn directory_key(&self) -> String {
        fold(&self.0)
    }
}

fn normalize_token_name(text: &str) -> Result<String, TextProblem> {
    normalize(text, MAX_CHARS, find_invisible)
}

fn normalize_admin_name(text: &str) -> Result<String, TextProblem> {
    let text = normalize(text, MAX_CHARS, find_invisible)?;
    if text.contains(':') {
        return Err(TextProblem::Colon);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn name_lengths_are_counted_in_characters() {
        assert!("é".repeat(255).parse::<TokenName>().is_ok());
        assert_eq!(
            "é".repeat(256).parse::<TokenName>().unwrap_err().to_string(),
            "name: has 256 characters; the maximum is 255"
        );
    }

    #[test]
    fn admin_names_have_no_colon() {
        assert!("Jürgen O'Neil".parse::<AdminName>().is_ok());
        for bad in ["", "  ", "a:b", "a\nb"] {
            assert!(bad.parse::<AdminName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn directory_keys_ignore_what_user_directories_ignore() {
        let key = |name: &str| AdminName::from_stored(name.to_owned()).directory_key();
        for (one, other) in [
            ("Ops", "oPS"),
            ("J\u{fc}rgen", "JU\u{308}RGEN"),
            ("jose", "Jos\u{e9}"),
            (" ops  team ", "Ops Team"),
            ("ops", "\u{ff4f}\u{ff50}\u{ff53}"),
            ("ops", "o\u{200d}ps"),
            ("\u{3bf}\u{3b4}\u{3bf}\u{3c2}", "\u{39f}\u{394}\u{39f}\u{3a3}"),
        ] {
            assert_eq!(key(one), key(other), "{one}");
        }
        assert_ne!(key("ops"), key("ops2"));
    }

    #[test]
    fn errors_name_the_problem() {
        for (text, message) in [
            ("", "name: must contain a visible character"),
            ("\u{3164}\u{2800}", "name: must contain a visible character"),
            (
                "a\u{202e}b",
                "name: must not contain U+202E, a control or format character",
            ),
            ("a\nb", "name: must not contain U+000A, a control or format character"),
            (
                "\u{feff}",
                "name: must not contain U+FEFF, a control or format character",
            ),
        ] {
            assert_eq!(text.parse::<TokenName>().unwrap_err().to_string(), message);
        }
        assert_eq!("u\u{308}".parse::<TokenName>().unwrap().as_str(), "\u{fc}");
    }

    proptest! {
        #[test]
        fn accepted_names_are_unchanged_by_reparsing(text in ".{0,300}|[a\u{300}\u{1100}\u{1161}\u{200d}]{0,20}") {
            if let Ok(name) = text.parse::<TokenName>() {
                prop_assert_eq!(name.to_string().parse(), Ok(name.clone()));
                prop_assert!(!name.as_str().chars().any(char::is_control));
            }
        }
    }
}
