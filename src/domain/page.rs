//! Pages of token lists: cursors, page sizes and filters.

use std::str::FromStr;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{Invalid, clock::Timestamp, named::named_enum, search::SearchFilter, token::Token};

/// A position in the list of all tokens, oldest first, just after a given row.
///
/// It remains valid while rows are inserted and deleted, because row numbers only grow and are
/// never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(i64);

impl Cursor {
    /// Creates a cursor just after the row with this number.
    #[must_use]
    pub const fn after(row: i64) -> Self {
        Self(row)
    }

    /// Returns the number of the row before the cursor; 0 at the start of the list.
    #[must_use]
    pub const fn row(self) -> i64 {
        self.0
    }
}

impl FromStr for Cursor {
    type Err = Invalid;

    /// Parses the output of `Display`.
    ///
    /// # Errors
    /// Returns [`Invalid`] if `text` is not such a cursor.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut bytes = [0; size_of::<i64>()];
        BASE64_URL_SAFE_NO_PAD
            .decode_slice(text, &mut bytes)
            .ok()
            .filter(|length| *length == bytes.len())
            .map(|_| Self(i64::from_be_bytes(bytes)))
            .filter(|cursor| cursor.0 > 0)
            .ok_or_else(|| Invalid::new("cursor", "must be the unchanged \"next\" of an earlier page"))
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0.to_be_bytes()))
    }
}

/// Maximum number of tokens on a page: 1 to 1,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(u16);

impl PageSize {
    /// The largest page size.
    pub const MAX: Self = Self(1000);

    /// The number of tokens that a streamed list reads at once.
    pub const OF_STREAM: Self = Self(4000);
    /// The number of tokens that the search index reads at once.
    pub const OF_INDEX: Self = Self(20_000);
    /// The size of a list on the console's overview.
    pub const OF_OVERVIEW: Self = Self(5);
    /// The size of a page of the console.
    pub const OF_CONSOLE: Self = Self(50);
    /// The number of tokens that a preview of a bulk change shows.
    pub const OF_PREVIEW: Self = Self(10);

    /// Returns the number of tokens.
    #[must_use]
    pub fn get(self) -> usize {
        self.0.into()
    }
}

impl FromStr for PageSize {
    type Err = Invalid;

    /// Parses a decimal number.
    ///
    /// # Errors
    /// Returns [`Invalid`] if `text` is not a whole number from 1 to 1,000.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse()
            .ok()
            .filter(|_| !text.starts_with('+'))
            .filter(|size| (1..=Self::MAX.0).contains(size))
            .map(Self)
            .ok_or_else(|| {
                Invalid::new(
                    "limit",
                    format!("{text:?} is not a whole number from 1 to {}", Self::MAX.0),
                )
            })
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(100)
    }
}

/// A filter on a token list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenFilter {
    /// What a search finds.
    pub search: SearchFilter,
    /// What the indexes of the database find.
    pub columns: ColumnFilter,
}

impl TokenFilter {
    /// Returns `true` if the filter excludes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { search, columns } = self;
        search.is_empty() && columns.is_empty()
    }
}

impl From<ColumnFilter> for TokenFilter {
    fn from(columns: ColumnFilter) -> Self {
        Self {
            search: SearchFilter::default(),
            columns,
        }
    }
}

/// A filter by columns with an index. Fields that are `None` exclude nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnFilter {
    /// Tokens with exactly this name.
    pub name_equals: Option<String>,
    /// Tokens with exactly this owner.
    pub owner: Option<String>,
    /// Tokens whose creator has this ID.
    pub created_by: Option<String>,
    /// Tokens in this state.
    pub state: Option<TokenState>,
    /// Tokens last used before this time, or never used and created before it.
    pub unused_since: Option<Timestamp>,
    /// Tokens that expire before this time.
    pub expires_before: Option<Timestamp>,
    /// Tokens whose current value was created before this time.
    pub value_older_than: Option<Timestamp>,
    /// `true` if the UUID of a token without a value authenticates at the gate, so that the token
    /// is active. It excludes nothing by itself.
    pub legacy_uuid_auth: bool,
}

impl ColumnFilter {
    /// Returns `true` if the filter excludes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let nothing = Self {
            legacy_uuid_auth: self.legacy_uuid_auth,
            ..Self::default()
        };
        *self == nothing
    }

    /// Returns `true` if the filter depends on the last use of a token.
    #[must_use]
    pub fn depends_on_use(&self) -> bool {
        let Self {
            unused_since,
            state,
            name_equals: _,
            owner: _,
            created_by: _,
            expires_before: _,
            value_older_than: _,
            legacy_uuid_auth: _,
        } = self;
        unused_since.is_some() || *state == Some(TokenState::NeverUsed)
    }

    /// Returns `true` if a token that matches in the store still matches with this last use. A use
    /// that has not been written yet can only exclude a token.
    #[must_use]
    pub fn allows_last_use(&self, last_used_at: Option<Timestamp>) -> bool {
        let Some(used) = last_used_at else { return true };
        self.state != Some(TokenState::NeverUsed) && self.unused_since.is_none_or(|since| used < since)
    }
}

named_enum! {
    /// A token state to filter by.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum TokenState as "state" {
        /// Usable: enabled, not expired, and with a value or, where UUIDs authenticate, without.
        Active = "active",
        /// Disabled, so refused.
        Disabled = "disabled",
        /// Expired, so refused.
        Expired = "expired",
        /// Never used to authenticate.
        NeverUsed = "never-used",
        /// Without a value, so known only to the legacy API.
        Legacy = "legacy",
    }
}

/// A page of tokens.
#[derive(Clone, Debug)]
pub struct Page {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// The cursor to the next page; `None` on the last page.
    pub next: Option<Cursor>,
}

impl AsMut<Vec<Token>> for Page {
    fn as_mut(&mut self) -> &mut Vec<Token> {
        &mut self.tokens
    }
}

/// A number of tokens, which is only counted up to a maximum, so that counting a large store takes a bounded time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoundedCount(u64);

impl BoundedCount {
    /// The number at which a query stops counting.
    pub const LIMIT: usize = 10_001;
    /// The largest exact number.
    pub const MAX: u64 = Self::LIMIT as u64 - 1;

    /// Creates the count of a query that stops at [`BoundedCount::LIMIT`].
    #[must_use]
    pub const fn new(counted: usize) -> Self {
        Self(counted as u64)
    }

    /// Returns the number; `None` if it is more than [`BoundedCount::MAX`].
    #[must_use]
    pub fn exact(self) -> Option<u64> {
        Some(self.0).filter(|number| *number <= Self::MAX)
    }
}

/// The numbers of tokens that match a filter, and of those that match narrower ones.
#[derive(Clone, Debug)]
pub struct ListCounts {
    /// The number of tokens that match the filter.
    pub all: BoundedCount,
    /// The number for each narrower filter; `None` if counting would read too many tokens.
    pub narrower: Vec<Option<BoundedCount>>,
}

/// A page of the legacy API's token list, as text. The last page can be empty.
#[derive(Clone, Debug)]
pub struct SummaryPage {
    /// The tokens, oldest first, in the format of the caller.
    pub text: Vec<u8>,
    /// The cursor to the next page, if there may be one.
    pub next: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn page_sizes_are_limited_to_1000() {
        assert_eq!("1000".parse::<PageSize>(), Ok(PageSize::MAX));
        for bad in ["0", "1001", "-1", "+5", "ten", "", "1.5"] {
            assert!(bad.parse::<PageSize>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn cursors_round_trip(row in 1i64..) {
            let cursor = Cursor::after(row);
            prop_assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
        }

        #[test]
        fn other_text_is_not_a_cursor(text in ".{0,20}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }
}
