//! Escapes untrusted text for messages.

use std::{borrow::Cow, fmt::Write};

/// Escapes characters that could control a terminal, forge a log line, or reorder text: control
/// characters, line and paragraph separators, and bidirectional controls. All other characters stay
/// unchanged.
#[must_use]
pub fn escape_unprintable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let escaped = text
        .chars()
        .fold(String::with_capacity(text.len() + 8), |mut escaped, letter| {
            if is_unprintable(letter) {
                // Writing to a string never fails.
                let _ = write!(escaped, "{}", letter.escape_unicode());
            } else {
                escaped.push(letter);
            }
            escaped
        });
    Cow::Owned(escaped)
}

fn is_unprintable(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_unprintable_characters_are_escaped() {
        assert_eq!(escape_unprintable("빌드 \"a\\b\""), "빌드 \"a\\b\"");
        assert_eq!(
            escape_unprintable("\u{1b}[2J\r\n\u{202e}x"),
            r"\u{1b}[2J\u{d}\u{a}\u{202e}x"
        );
    }

    proptest! {
        #[test]
        fn escaped_text_is_always_printable(text in any::<String>()) {
            prop_assert!(!escape_unprintable(&text).contains(is_unprintable));
        }
    }
}
