//! When tokens expire.

use serde::{Serialize, Serializer};

use super::{Invalid, clock::Timestamp};

/// When a token stops working. Every time is less than [`Expiry::Never`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expiry {
    /// At this time.
    At(Timestamp),
    /// Never.
    #[default]
    Never,
}

impl Expiry {
    /// Returns the time; `None` for never.
    #[must_use]
    pub const fn time(self) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(time),
            Self::Never => None,
        }
    }

    /// Returns `true` if the token has expired at `now`.
    #[must_use]
    pub fn is_past(self, now: Timestamp) -> bool {
        self <= Self::At(now)
    }

    /// Returns the expiry if a new or changed token may have it.
    ///
    /// # Errors
    /// If it is in the past.
    pub fn require_future(self, now: Timestamp) -> Result<Self, Invalid> {
        match self {
            Self::At(end) if end <= now => Err(Invalid::new(
                "expiresAt",
                format!("{end} is in the past; use a time after {now}, or null for a token that does not expire"),
            )),
            Self::At(_) | Self::Never => Ok(self),
        }
    }
}

impl From<Option<Timestamp>> for Expiry {
    fn from(time: Option<Timestamp>) -> Self {
        time.map_or(Self::Never, Self::At)
    }
}

impl Serialize for Expiry {
    /// Serializes the time, or `null` for never.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.time().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_is_later_than_every_time() {
        let last: Timestamp = "9999-12-31T23:59:59.999999Z".parse().unwrap();
        assert!(Expiry::At(last) < Expiry::Never);
        assert!(Expiry::At(last).is_past(last) && !Expiry::Never.is_past(last));
    }
}
