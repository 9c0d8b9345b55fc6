//! Limits the nesting of a document before any recursive code parses it: async-graphql's parser
//! recurses on values, types, and selection sets without a limit, and 4 KB of brackets overflow its
//! thread's stack.

/// Maximum number of open brackets, for all three kinds together. Common introspection queries need 14.
pub const MAX_DEPTH: usize = 32;

/// Returns `true` if more than [`MAX_DEPTH`] brackets are open anywhere in a document, outside
/// strings, block strings and comments.
///
/// A closing bracket closes the innermost open one of any kind: on a mismatch, the parser stops.
/// The parser also stops at an unterminated string and at a backslash outside strings, so the scan
/// ends there.
pub fn nests_too_deeply(document: &str) -> bool {
    let mut rest = document.as_bytes();
    let mut depth = 0_usize;
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'#' => after_comment(after),
            b'"' => match after_string(rest) {
                Some(after) => after,
                None => return false,
            },
            b'\\' => return false,
            b'(' | b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
                after
            }
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                after
            }
            _ => after,
        };
    }
    false
}

fn after_comment(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    end.and_then(|end| text.get(end..)).unwrap_or_default()
}

/// Returns the text after a leading string or block string; `None` if it is unterminated.
fn after_string(text: &[u8]) -> Option<&[u8]> {
    // If a block string is unterminated, the parser reads its first two quotes as an empty string.
    if let Some(rest) = text.strip_prefix(b"\"\"\"").and_then(after_block) {
        return Some(rest);
    }
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', _, after @ ..] => after,
            [b'\n' | b'\r' | b'\\', ..] | [] => return None,
            [_, after @ ..] => after,
        };
    }
}

/// Returns the text after the first three quotes that are not escaped.
fn after_block(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        text = match text {
            [b'"', b'"', b'"', after @ ..] => return Some(after),
            [b'\\', b'"', b'"', b'"', after @ ..] | [_, after @ ..] => after,
            [] => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::parse_query;
    use proptest::prelude::*;

    /// Returns a document with an argument nested `levels` deep inside its own two levels.
    fn lists(levels: usize) -> String {
        format!("{{a(a:{}{})}}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn nesting_is_limited_to_32_levels() {
        assert!(!nests_too_deeply(&lists(30)));
        assert!(nests_too_deeply(&lists(31)));
    }

    #[test]
    fn every_kind_of_bracket_counts() {
        for opening in ["[", "{a:", "{a ", "(", "[{a:", "{a(a:", "[)", "[]["] {
            let closes = opening.matches([']', ')']).count();
            let document = format!("{{ a {}", opening.repeat(2000));
            assert_eq!(
                nests_too_deeply(&document),
                closes < opening.matches(['[', '{', '(']).count(),
                "{opening}"
            );
        }
    }

    #[test]
    fn brackets_in_strings_and_comments_do_not_count() {
        let brackets = "[".repeat(100);
        for document in [
            format!("{{a(a:\"{brackets}\")}}"),
            format!("{{a(a:\"\\\"{brackets}\")}}"),
            format!("{{a(a:\"\"\"{brackets}\n\"{brackets}\\\"\"\"{brackets}\"\"\")}}"),
            format!("{{a}} # {brackets}\r# {brackets}\n#{brackets}"),
        ] {
            assert!(!nests_too_deeply(&document), "{document}");
            assert!(parse_query(&document).is_ok(), "{document}");
        }
    }

    #[test]
    fn lookalikes_of_strings_and_comments_hide_no_brackets() {
        let brackets = "[".repeat(100);
        for hiding in [
            "\"\"\"\"",
            "\"\" # \n",
            "#\r",
            "\"#\"",
            "\"\\\\\"",
            "\"\"\"\\\"\"\"\"\"\"",
            "\"\"\"a\"\"\"\"\"",
        ] {
            let document = format!("{{a(a:[{hiding}{brackets}");
            assert!(nests_too_deeply(&document), "{document}");
        }
    }

    proptest! {
        /// Compares with the parser: every document that the scan accepts parses without deep recursion.
        #[test]
        fn accepted_documents_are_never_deep(text in "[\\[\\](){}\"\\\\#\n a:.$!]{0,400}", levels in 0usize..3000) {
            let document = format!("{{a(a:[{text}{}", "[".repeat(levels));
            if !nests_too_deeply(&document) {
                let _ = parse_query(&document);
            }
        }
    }
}
