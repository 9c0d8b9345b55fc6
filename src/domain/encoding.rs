//! The encodings of text from clients and operators. Windows tools write byte order marks, and often UTF-16 by default.

use std::borrow::Cow;

const UTF_8_BOM: &[u8] = b"\xEF\xBB\xBF";
const BOM: char = '\u{FEFF}';

/// Returns UTF-8 text without its byte order mark.
#[must_use]
pub fn strip_byte_order_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(UTF_8_BOM).unwrap_or(text)
}

/// Returns `true` for UTF-16 text: it starts with a byte order mark, or its first character, which
/// is ASCII in every format that this program reads, contains a zero byte.
#[must_use]
pub fn is_utf_16(text: &[u8]) -> bool {
    matches!(text, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, _, ..] | [_, 0, ..])
}

/// Converts UTF-8 or UTF-16 text to UTF-8 without a byte order mark. Returns `None` for malformed UTF-16.
#[must_use]
pub fn to_utf_8(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !is_utf_16(text) {
        return Some(Cow::Borrowed(strip_byte_order_mark(text)));
    }
    let is_big_endian = matches!(text, [0xFE, 0xFF, ..] | [0, _, ..]);
    let (pairs, rest) = text.as_chunks::<2>();
    let units = pairs.iter().map(|pair| {
        if is_big_endian {
            u16::from_be_bytes(*pair)
        } else {
            u16::from_le_bytes(*pair)
        }
    });
    let decoded: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    let decoded = decoded.strip_prefix(BOM).unwrap_or(&decoded);
    rest.is_empty().then(|| Cow::Owned(decoded.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_encoding_decodes_to_the_same_text(
            first in "[ -~]",
            rest in ".{0,40}",
            with_mark in any::<bool>(),
            big_endian in any::<bool>(),
        ) {
            let text = format!("{first}{rest}");
            let marked = format!("{}{text}", if with_mark { "\u{feff}" } else { "" });
            let units = marked.encode_utf16();
            let utf_16: Vec<u8> = if big_endian {
                units.flat_map(u16::to_be_bytes).collect()
            } else {
                units.flat_map(u16::to_le_bytes).collect()
            };
            prop_assert!(is_utf_16(&utf_16));
            prop_assert_eq!(to_utf_8(&utf_16).unwrap(), text.as_bytes());
            if !rest.starts_with('\0') {
                prop_assert_eq!(to_utf_8(marked.as_bytes()).unwrap(), text.as_bytes());
            }
        }
    }

    #[test]
    fn invalid_utf_16_is_rejected() {
        assert_eq!(to_utf_8(b"\xFF\xFE[\0]"), None);
        assert_eq!(to_utf_8(b"\xFF\xFE\x00\xD8"), None);
    }
}
