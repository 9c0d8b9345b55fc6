//! Groups of tokens that pages count and lead to.

use super::{
    attention::{EXPIRING_WITHIN, STALE_AFTER},
    clock::Timestamp,
    named::named_enum,
    page::{ColumnFilter, TokenState},
};

named_enum! {
    /// A group of tokens. A token can be in more than one.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum TokenGroup {
        /// All tokens.
        #[default]
        All = "",
        /// Those in the state [`TokenState::Active`].
        Active = "active",
        /// Those in the state [`TokenState::Disabled`].
        Disabled = "disabled",
        /// Those in the state [`TokenState::Expired`].
        Expired = "expired",
        /// Active ones that expire within 30 days.
        Expiring = "expiring",
        /// Those in the state [`TokenState::NeverUsed`].
        NeverUsed = "never-used",
        /// Those that were not used for 90 days.
        Unused = "unused",
        /// Those whose value is more than 90 days old.
        RotationDue = "rotation-due",
        /// Those in the state [`TokenState::Legacy`].
        Legacy = "legacy",
    }
}

impl TokenGroup {
    /// Returns the state that the group consists of, if it is one.
    #[must_use]
    pub const fn state(self) -> Option<TokenState> {
        match self {
            Self::Active => Some(TokenState::Active),
            Self::Disabled => Some(TokenState::Disabled),
            Self::Expired => Some(TokenState::Expired),
            Self::NeverUsed => Some(TokenState::NeverUsed),
            Self::Legacy => Some(TokenState::Legacy),
            Self::All | Self::Expiring | Self::Unused | Self::RotationDue => None,
        }
    }

    /// Returns the filter that selects the group at `now`.
    #[must_use]
    pub fn filter(self, now: Timestamp, legacy_uuid_auth: bool) -> ColumnFilter {
        let all = ColumnFilter {
            state: self.state(),
            legacy_uuid_auth,
            ..ColumnFilter::default()
        };
        let long_ago = Some(now.saturating_sub(STALE_AFTER));
        match self {
            Self::All | Self::Active | Self::Disabled | Self::Expired | Self::NeverUsed | Self::Legacy => all,
            Self::Expiring => ColumnFilter {
                state: Some(TokenState::Active),
                expires_before: Some(now.saturating_add(EXPIRING_WITHIN)),
                ..all
            },
            Self::Unused => ColumnFilter {
                unused_since: long_ago,
                ..all
            },
            Self::RotationDue => ColumnFilter {
                value_older_than: long_ago,
                ..all
            },
        }
    }
}
