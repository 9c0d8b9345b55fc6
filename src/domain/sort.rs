//! Sort orders of token lists, and cursors into sorted lists.

use std::str::FromStr;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{Invalid, named::named_enum, page::BoundedCount, token::Token};

named_enum! {
    /// The key of a sorted token list. Tokens with equal keys are in order of creation.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum SortKey as "sort" {
        /// The creation time.
        Created = "created",
        /// The name, ignoring case.
        Name = "name",
        /// The last use. "Never" sorts before every time.
        LastUsed = "last-used",
        /// The expiry. "Never" sorts before every time.
        Expires = "expires",
    }
}

/// The order of a sorted token list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenOrder {
    /// The key.
    pub by: SortKey,
    /// `true` to sort from last to first.
    pub descending: bool,
}

impl TokenOrder {
    /// Returns the opposite order.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            by: self.by,
            descending: !self.descending,
        }
    }
}

impl Default for TokenOrder {
    /// Returns the order by creation time, newest first.
    fn default() -> Self {
        Self {
            by: SortKey::Created,
            descending: true,
        }
    }
}

impl FromStr for TokenOrder {
    type Err = Invalid;

    /// Parses the output of `Display`.
    ///
    /// # Errors
    /// Returns [`Invalid`] if there is no such order.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        let by = name.parse()?;
        Ok(Self { by, descending })
    }
}

/// Writes the name of the key, with a leading hyphen if descending: `-created`.
impl std::fmt::Display for TokenOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.descending { "-" } else { "" };
        write!(f, "{sign}{}", self.by.name())
    }
}

/// A position in a sorted token list, just after the token of a given row with a given key. It
/// remains valid while rows are inserted and deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedCursor {
    /// The row number.
    pub row: i64,
    /// The sort key of that row.
    pub key: SortValue,
}

/// The place of a page in a sorted token list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PagePosition {
    /// At the start of the list.
    #[default]
    Start,
    /// Just after this position.
    After(SortedCursor),
    /// Just before the token of this position. If fewer tokens than a page holds come before it, at the start.
    Before(SortedCursor),
}

/// A page of a sorted token list.
#[derive(Clone, Debug)]
pub struct SortedPage {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// The number of tokens in the list, if it was needed to find the page.
    pub total: Option<BoundedCount>,
    /// The number of tokens before this page.
    pub preceding: BoundedCount,
    /// The position of the first token; `None` on the first page.
    pub previous: Option<SortedCursor>,
    /// The position of the last token; `None` on the last page.
    pub next: Option<SortedCursor>,
}

impl AsMut<Vec<Token>> for SortedPage {
    fn as_mut(&mut self) -> &mut Vec<Token> {
        &mut self.tokens
    }
}

/// The sort key of one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortValue {
    /// No value: the list is in row order, or the token has no such time.
    Absent,
    /// A time, in microseconds since the Unix epoch.
    Time(i64),
    /// A name.
    Name(String),
}

impl FromStr for SortedCursor {
    type Err = Invalid;

    /// Parses the output of `Display`.
    ///
    /// # Errors
    /// Returns [`Invalid`] if `text` is not such a cursor.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let read = || {
            let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
            let (row, key) = text.split_once(' ')?;
            let key = match key.split_at_checked(1) {
                None => SortValue::Absent,
                Some(("@", time)) => SortValue::Time(time.parse().ok()?),
                Some(("=", name)) => SortValue::Name(Some(name).filter(|name| !name.contains('\0'))?.to_owned()),
                Some(_) => return None,
            };
            let row = row.parse().ok().filter(|row| *row > 0)?;
            Some(Self { row, key })
        };
        read().ok_or_else(|| Invalid::new("cursor", "must be the unchanged cursor of a link to the next page"))
    }
}

impl std::fmt::Display for SortedCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let row = self.row;
        let text = match &self.key {
            SortValue::Absent => format!("{row} "),
            SortValue::Time(time) => format!("{row} @{time}"),
            SortValue::Name(name) => format!("{row} ={name}"),
        };
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sort_orders_round_trip() {
        for by in SortKey::ALL {
            for descending in [false, true] {
                let order = TokenOrder { by, descending };
                assert_eq!(order.to_string().parse::<TokenOrder>(), Ok(order));
            }
        }
        assert_eq!("-created".parse::<TokenOrder>(), Ok(TokenOrder::default()));
        assert!("--created".parse::<TokenOrder>().is_err());
    }

    proptest! {
        #[test]
        fn sorted_cursors_round_trip(row in 1i64.., time: i64, name in "[^\\p{Cc}]{0,20}x") {
            for key in [SortValue::Absent, SortValue::Time(time), SortValue::Name(name)] {
                let cursor = SortedCursor { row, key };
                prop_assert_eq!(cursor.to_string().parse::<SortedCursor>(), Ok(cursor));
            }
        }

        #[test]
        fn other_text_is_not_a_sorted_cursor(text in ".{0,20}") {
            if let Ok(cursor) = text.parse::<SortedCursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }
}
