//! Unicode in user-provided text: normalization and invisible characters.

use std::borrow::Cow;

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup},
};

/// A blank symbol that is neither white space nor default-ignorable.
const BRAILLE_BLANK: char = '\u{2800}';

/// Returns text in NFC, so that equal text compares equal regardless of the input method (Unicode Standard Annex #15).
#[must_use]
pub fn to_nfc(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

/// Returns text in NFD, the form in which earlier versions may have stored names.
#[must_use]
pub fn to_nfd(text: &str) -> Cow<'_, str> {
    DecomposingNormalizerBorrowed::new_nfd().normalize(text)
}

/// Returns text without case, accents, width, and repeated blanks: the differences that user
/// directories commonly ignore when they look up a name.
#[must_use]
pub fn fold(text: &str) -> String {
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd();
    let is_ignored = |letter| {
        GeneralCategoryGroup::Mark.contains(category(letter))
            || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(letter)
    };
    // A letter such as the final sigma has one upper case and two lower cases.
    let without_case = decomposed.normalize(text).to_uppercase().to_lowercase();
    let letters: String = decomposed
        .normalize(&without_case)
        .chars()
        .filter(|letter| !is_ignored(*letter))
        .collect();
    letters.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A small `i` with the dot that remains of the capital one of Turkish.
const DOTTED_I: &str = "i\u{307}";

/// Returns text without case. `ß` is the same as `ss`, the final sigma the same as others, and the dotted and dotless
/// `i` of Turkish are the same as `i`.
#[must_use]
pub fn fold_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // The capital `ß` has a lower case, which has an upper case of two letters.
    let letters = text.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase);
    letters
        .flat_map(char::to_lowercase)
        .collect::<String>()
        .replace(DOTTED_I, "i")
}

/// Prepares a password with the `OpaqueString` profile (RFC 8265, section 4.2): maps non-ASCII
/// spaces to U+0020 and normalizes to NFC.
#[must_use]
pub fn prepare_password(text: &str) -> String {
    let is_space = |letter| category(letter) == GeneralCategory::SpaceSeparator;
    let spaced: String = text
        .chars()
        .map(|letter| if is_space(letter) { ' ' } else { letter })
        .collect();
    to_nfc(&spaced).into_owned()
}

/// Returns `true` if a text has at least one visible character.
#[must_use]
pub fn is_visible(text: &str) -> bool {
    let shown = GeneralCategoryGroup::Letter
        .union(GeneralCategoryGroup::Number)
        .union(GeneralCategoryGroup::Punctuation)
        .union(GeneralCategoryGroup::Symbol);
    let is_ignorable = |letter| CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(letter);
    text.chars()
        .any(|letter| shown.contains(category(letter)) && !is_ignorable(letter) && letter != BRAILLE_BLANK)
}

/// Returns the first control character, line or paragraph separator, or format character, including
/// bidirectional overrides. Joiners are allowed between letters, where scripts need them.
#[must_use]
pub fn find_invisible(text: &str) -> Option<char> {
    let mut before = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let joins = matches!(letter, '\u{200C}' | '\u{200D}')
            && before.is_some_and(is_letter)
            && letters.peek().copied().is_some_and(is_letter);
        let refused = matches!(
            category(letter),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        );
        if refused && !joins {
            return Some(letter);
        }
        before = Some(letter);
    }
    None
}

/// Returns the number of a character, by which an invisible one can be named: `U+202E`.
#[must_use]
pub fn code_point(letter: char) -> String {
    format!("U+{:04X}", u32::from(letter))
}

/// Returns `true` for letters and for the marks that follow them.
fn is_letter(letter: char) -> bool {
    let letters = GeneralCategoryGroup::Letter.union(GeneralCategoryGroup::Mark);
    letters.contains(category(letter))
}

fn category(letter: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_opaque_strings() {
        // The examples of RFC 8265, section 4.3.
        for (typed, prepared) in [
            ("correct horse battery staple", "correct horse battery staple"),
            ("\u{3c0}\u{df}\u{e5}", "\u{3c0}\u{df}\u{e5}"),
            ("Jack of \u{2666}s", "Jack of \u{2666}s"),
            ("foo\u{1680}bar", "foo bar"),
            ("a\u{30a}\u{3000}\u{a0}", "\u{e5}  "),
        ] {
            assert_eq!(prepare_password(typed), prepared);
        }
    }

    #[test]
    fn case_is_folded_in_every_script() {
        for (text, folded) in [
            ("École ÉTÉ", "école été"),
            ("ЖУК Ёж", "жук ёж"),
            ("STRASSE", "strasse"),
            ("Straße", "strasse"),
            ("STRA\u{1e9e}E", "strasse"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευσ"),
            ("οδυσσευς", "οδυσσευσ"),
            ("İstanbul", "istanbul"),
            ("i\u{307}stanbul", "istanbul"),
            ("ISI", "isi"),
            ("ısı", "isi"),
            ("日本 한국 🔑", "日本 한국 🔑"),
        ] {
            assert_eq!(fold_case(text), folded, "{text}");
            assert_eq!(fold_case(folded), folded);
        }
    }

    #[test]
    fn invisible_text_is_blank() {
        for blank in [
            "",
            " ",
            "\u{a0}",
            "\u{200b}",
            "\u{feff}",
            "\u{3164}",
            "\u{2800}",
            "\u{115f}\u{ffa0}",
            "\u{301}",
            "\u{fe0f}",
        ] {
            assert!(!is_visible(blank), "{blank:?}");
        }
        for seen in ["a", "é", "한", "🔑", "1", "-", "\u{3164}x"] {
            assert!(is_visible(seen), "{seen:?}");
        }
    }

    #[test]
    fn joiners_are_allowed_only_between_letters() {
        for right in ["\u{0646}\u{200c}\u{0647}", "\u{0915}\u{094d}\u{200d}\u{0937}", "plain"] {
            assert_eq!(find_invisible(right), None, "{right:?}");
        }
        for (wrong, found) in [
            ("\u{200d}a", '\u{200d}'),
            ("a\u{200c}", '\u{200c}'),
            ("a\u{200d} b", '\u{200d}'),
            ("a\u{202e}b", '\u{202e}'),
            ("a\u{2066}b", '\u{2066}'),
            ("a\u{2028}b", '\u{2028}'),
            ("a\u{2029}b", '\u{2029}'),
            ("a\u{ad}b", '\u{ad}'),
            ("a\u{e0041}b", '\u{e0041}'),
            ("a\nb", '\n'),
        ] {
            assert_eq!(find_invisible(wrong), Some(found), "{wrong:?}");
        }
    }
}
