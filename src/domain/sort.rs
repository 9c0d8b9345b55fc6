//! The orders in which people want to see tokens.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{Invalid, invalid::parse_name};

/// What a sorted list of tokens is sorted by; tokens that are alike in it are in the order in which they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// When they were made.
    Created,
    /// Their name, in whatever case.
    Name,
    /// When they were last used; never is before every time.
    LastUsed,
    /// When they stop working; never is before every time.
    Expires,
}

impl SortKey {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Created, Self::Name, Self::LastUsed, Self::Expires];

    /// The name in a query.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Name => "name",
            Self::LastUsed => "last-used",
            Self::Expires => "expires",
        }
    }
}

/// The order of a sorted list of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenOrder {
    /// What it is sorted by.
    pub by: SortKey,
    /// Whether the last comes first.
    pub descending: bool,
}

impl Default for TokenOrder {
    /// The newest first.
    fn default() -> Self {
        Self {
            by: SortKey::Created,
            descending: true,
        }
    }
}

impl TokenOrder {
    /// Reads what its `Display` wrote.
    ///
    /// # Errors
    /// When there is no such order.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        let by = parse_name("sort", name, &SortKey::ALL, SortKey::name)?;
        Ok(Self { by, descending })
    }
}

/// The name of the key, behind a hyphen if the last comes first: `-created`.
impl std::fmt::Display for TokenOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.descending { "-" } else { "" };
        write!(f, "{sign}{}", self.by.name())
    }
}

/// A place in a sorted list of tokens: behind the one of that row, which had that key. It stays right while rows come and go, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedCursor {
    /// The number of the row.
    pub row: i64,
    /// What the list is sorted by, of that row.
    pub key: SortValue,
}

/// What a list is sorted by, of one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortValue {
    /// The order of the rows themselves, or a time that is absent.
    Absent,
    /// A time, in microseconds since the Unix epoch.
    Time(i64),
    /// A name.
    Name(String),
}

impl SortedCursor {
    /// Reads what its `Display` wrote.
    ///
    /// # Errors
    /// When it was not written by this program.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
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
        read().ok_or_else(|| Invalid::new("cursor", "it must be the one of a link to the next page, unchanged"))
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
                assert_eq!(TokenOrder::parse(&order.to_string()), Ok(order));
            }
        }
        assert_eq!(TokenOrder::parse("-created"), Ok(TokenOrder::default()));
        assert!(TokenOrder::parse("--created").is_err());
    }

    proptest! {
        #[test]
        fn sorted_cursors_round_trip(row in 1i64.., time: i64, name in "[^\\p{Cc}]{0,20}x") {
            for key in [SortValue::Absent, SortValue::Time(time), SortValue::Name(name)] {
                let cursor = SortedCursor { row, key };
                prop_assert_eq!(SortedCursor::parse(&cursor.to_string()), Ok(cursor));
            }
        }

        #[test]
        fn other_text_is_not_a_sorted_cursor(text in ".{0,20}") {
            if let Ok(cursor) = SortedCursor::parse(&text) {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }
}
