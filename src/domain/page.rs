//! Lists of tokens, page by page.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{
    Invalid,
    clock::Timestamp,
    token::{Token, TokenSummary},
};

/// A place in the list of all tokens, oldest first: behind the row of that number.
///
/// It stays right while rows come and go, because row numbers only grow and are never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(i64);

impl Cursor {
    /// Behind the row of that number.
    #[must_use]
    pub const fn after(row: i64) -> Self {
        Self(row)
    }

    /// The row that it stands behind; 0 at the start.
    #[must_use]
    pub const fn row(self) -> i64 {
        self.0
    }

    /// Reads what [`Cursor`]'s `Display` wrote.
    ///
    /// # Errors
    /// When it was not written by this program.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut bytes = [0; size_of::<i64>()];
        BASE64_URL_SAFE_NO_PAD
            .decode_slice(text, &mut bytes)
            .ok()
            .filter(|length| *length == bytes.len())
            .map(|_| Self(i64::from_be_bytes(bytes)))
            .filter(|cursor| cursor.0 > 0)
            .ok_or_else(|| Invalid::new("cursor", "it must be the \"next\" of an earlier page, unchanged"))
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0.to_be_bytes()))
    }
}

/// How many tokens a page has: 1 to 1,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(u16);

impl PageSize {
    /// The most that a page can have.
    pub const MAX: Self = Self(1000);

    /// Reads a number.
    ///
    /// # Errors
    /// When it is none, or out of bounds.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
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

    /// The number.
    #[must_use]
    pub fn get(self) -> usize {
        self.0.into()
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(100)
    }
}

/// Which tokens a list shows; all of them where nothing is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenFilter {
    /// Those whose name contains this, in the same case.
    pub name: Option<String>,
    /// Those whose name contains this, in whatever case.
    pub name_ignoring_case: Option<String>,
    /// Those in this state.
    pub state: Option<TokenState>,
    /// Those last used before this, or never and made before it.
    pub unused_since: Option<Timestamp>,
    /// Those that expire before this.
    pub expires_before: Option<Timestamp>,
    /// Those that have had their value since before this.
    pub value_older_than: Option<Timestamp>,
}

impl TokenFilter {
    /// Whether it says nothing, and every token passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it depends on when a token was last used.
    #[must_use]
    pub fn depends_on_use(&self) -> bool {
        self.unused_since.is_some() || self.state == Some(TokenState::NeverUsed)
    }

    /// Whether a token that passes still does so with this last use: one that the store does not know yet can only rule it out.
    #[must_use]
    pub fn allows_last_use(&self, last_used_at: Option<Timestamp>) -> bool {
        let Some(used) = last_used_at else { return true };
        self.state != Some(TokenState::NeverUsed) && self.unused_since.is_none_or(|since| used < since)
    }
}

/// A state that a list can be limited to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// Not expired.
    Active,
    /// Expired, and so refused.
    Expired,
    /// Never used to authenticate.
    NeverUsed,
    /// Without a value, and so known only to the legacy API.
    Legacy,
}

impl TokenState {
    /// All of them. A token can be in more than one.
    pub const ALL: [Self; 4] = [Self::Active, Self::Expired, Self::NeverUsed, Self::Legacy];

    /// The name in a query.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::NeverUsed => "never-used",
            Self::Legacy => "legacy",
        }
    }

    /// Reads a name.
    ///
    /// # Errors
    /// When there is no such state.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Invalid::new("state", format!("{text:?} is not one of {names}"))
        })
    }
}

/// Some tokens of a list, and where the next ones begin.
#[derive(Clone, Debug)]
pub struct Page<C = Cursor> {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// Where the next page begins; nothing on the last.
    pub next: Option<C>,
}

/// A page of what the legacy view shows of tokens. The last one can be empty.
#[derive(Clone, Debug)]
pub struct SummaryPage {
    /// The tokens, oldest first.
    pub tokens: Vec<TokenSummary>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn page_sizes_are_limited_to_1000() {
        assert_eq!(PageSize::parse("1000"), Ok(PageSize::MAX));
        for bad in ["0", "1001", "-1", "+5", "ten", "", "1.5"] {
            assert!(PageSize::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn cursors_round_trip(row in 1i64..) {
            let cursor = Cursor::after(row);
            prop_assert_eq!(Cursor::parse(&cursor.to_string()), Ok(cursor));
        }

        #[test]
        fn other_text_is_not_a_cursor(text in ".{0,20}") {
            if let Ok(cursor) = Cursor::parse(&text) {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }
}
