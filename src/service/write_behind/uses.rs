//! The uses of one token that have not been written yet.

use crate::domain::{
    clock::Timestamp,
    usage::{DayUses, LastUse, UseOutcome},
};

/// Pending uses of a token, by day and outcome.
///
/// Nearly every token has one day and one outcome between two flushes, so the latest record is stored in place.
#[derive(Clone)]
pub struct PendingUses {
    last_used_at: Option<Timestamp>,
    latest: DayUses,
    others: Vec<DayUses>,
}

impl PendingUses {
    /// Creates a record of one use.
    pub fn new(outcome: UseOutcome, last: LastUse) -> Self {
        Self {
            last_used_at: (outcome == UseOutcome::Accepted).then_some(last.at),
            latest: DayUses::single(outcome, last),
            others: Vec::new(),
        }
    }

    /// Adds a use that happens now.
    pub fn record(&mut self, outcome: UseOutcome, last: LastUse) {
        if outcome == UseOutcome::Accepted {
            let advanced = self.last_used_at.map_or(last.at, |known| known.advanced_to(last.at));
            self.last_used_at = Some(advanced);
        }
        self.add(DayUses::single(outcome, last));
    }

    /// Adds earlier uses that could not be written.
    pub fn put_back(&mut self, earlier: &Self) {
        self.last_used_at = self.last_used_at.max(earlier.last_used_at);
        earlier.days().for_each(|uses| self.add(uses));
    }

    fn add(&mut self, uses: DayUses) {
        if !self.latest.merge(&uses) && !self.others.iter_mut().any(|known| known.merge(&uses)) {
            self.others.push(std::mem::replace(&mut self.latest, uses));
        }
    }

    /// Returns the time of the last accepted use.
    pub const fn last_used_at(&self) -> Option<Timestamp> {
        self.last_used_at
    }

    /// Returns the uses by day and outcome.
    pub fn days(&self) -> impl Iterator<Item = DayUses> {
        std::iter::once(self.latest).chain(self.others.iter().copied())
    }
}
