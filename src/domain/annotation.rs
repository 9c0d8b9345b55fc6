//! Texts about a token that do not affect its use.

use super::{
    Invalid,
    text::find_invisible,
    text_type::{TextProblem, normalize, text_type},
};

const MAX_DESCRIPTION_CHARS: usize = 1000;
const MAX_OWNER_CHARS: usize = 255;

text_type! {
    /// The description of a token: 1 to 1,000 characters in NFC, at least one of them visible. It may
    /// contain line feeds, but no other control characters, and format characters only as a name may.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Description as "description"(normalize_description);
}

text_type! {
    /// The person or team to ask about a token: 1 to 255 characters in NFC, under the rules for names.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Owner as "owner"(normalize_owner);
}

fn normalize_description(text: &str) -> Result<String, TextProblem> {
    let find_refused = |text: &str| text.split('\n').find_map(find_invisible);
    normalize(text, MAX_DESCRIPTION_CHARS, find_refused)
}

fn normalize_owner(text: &str) -> Result<String, TextProblem> {
    normalize(text, MAX_OWNER_CHARS, find_invisible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_may_have_several_lines() {
        assert_eq!("u\u{308}\n\nb".parse::<Description>().unwrap().as_str(), "\u{fc}\n\nb");
        assert!("\u{e9}".repeat(1000).parse::<Description>().is_ok());
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
            assert_eq!(text.parse::<Description>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn owners_follow_the_rules_for_names() {
        assert_eq!("Ju\u{308}rgen".parse::<Owner>().unwrap().as_str(), "J\u{fc}rgen");
        for (text, message) in [
            ("\u{3164}", "owner: must contain a visible character"),
            ("a\nb", "owner: must not contain U+000A, a control or format character"),
            (
                "a\u{202e}b",
                "owner: must not contain U+202E, a control or format character",
            ),
            (&*"a".repeat(256), "owner: has 256 characters; the maximum is 255"),
        ] {
            assert_eq!(text.parse::<Owner>().unwrap_err().to_string(), message);
        }
    }
}
