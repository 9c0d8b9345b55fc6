//! Broken variants of the protocol. Each changes the inputs of the cache, never the cache itself.

use super::{
    Bounds, CI_TICK, Change, Instant,
    world::{ChangeKind, Poll, Replica, Store},
};
use crate::store::revision::Listener;

/// A broken variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flaw {
    /// Caches a token after an invalidation that happened during its read.
    IgnoresGeneration,
    /// Trusts a response two ticks longer than 0.8 s.
    TrustsTooLong,
    /// Trusts a response from its arrival, not from the sending of its poll.
    CountsFromArrival,
    /// Does not clear the cache after a missed change.
    IgnoresGaps,
    /// The server that makes a change waits for the feed like the others.
    ForgetsLocalChanges,
    /// Ignores a poll whose response has a smaller number than the known one.
    AcceptsSmallerNumbers,
    /// Also ignores a poll that was sent before the last change was announced: the rule of earlier
    /// versions, which kept no superseded numbers.
    AcceptsStaleNumbers,
    /// Advances the revision by one for each change: the rule of earlier versions.
    CountsByOne,
    /// Reads from a standby whose revision is not smaller than the known one.
    AcceptsLargerCopies,
    /// Reads from a standby with the known revision, however long ago that was polled.
    AcceptsOldCopies,
}

impl Flaw {
    pub const ALL: [Self; 10] = [
        Self::IgnoresGeneration,
        Self::TrustsTooLong,
        Self::CountsFromArrival,
        Self::IgnoresGaps,
        Self::ForgetsLocalChanges,
        Self::AcceptsSmallerNumbers,
        Self::AcceptsStaleNumbers,
        Self::CountsByOne,
        Self::AcceptsLargerCopies,
        Self::AcceptsOldCopies,
    ];

    /// Returns the narrowest bounds within which the checker finds the flaw.
    pub fn bounds(self) -> Bounds {
        let (kinds, changes, failovers): (&[ChangeKind], _, _) = match self {
            Self::IgnoresGeneration
            | Self::TrustsTooLong
            | Self::CountsFromArrival
            | Self::ForgetsLocalChanges
            | Self::AcceptsOldCopies => (&[ChangeKind::RevokeX], 1, 0),
            Self::IgnoresGaps => (&[ChangeKind::RevokeX, ChangeKind::RevokeY], 2, 0),
            Self::AcceptsSmallerNumbers | Self::CountsByOne => (&[ChangeKind::RotateX, ChangeKind::RevokeX], 2, 1),
            Self::AcceptsStaleNumbers | Self::AcceptsLargerCopies => {
                (&[ChangeKind::RevokeX, ChangeKind::RevokeY], 2, 1)
            }
        };
        Bounds {
            replicas: 1,
            kinds,
            changes,
            failovers,
            standby: matches!(self, Self::AcceptsLargerCopies | Self::AcceptsOldCopies),
            tick: CI_TICK,
        }
    }
}

/// Returns the send time and the response that the cache sees for a poll that is received at `at`.
pub fn poll(flaw: Option<Flaw>, replica: &Replica, poll: &Poll, at: Instant) -> (Instant, i64) {
    let answer = poll.answer.expect("an answer");
    let known = replica.known().unwrap_or(answer);
    match flaw {
        Some(Flaw::CountsFromArrival) => (at, answer),
        Some(Flaw::AcceptsSmallerNumbers) => (poll.asked_at, answer.max(known)),
        Some(Flaw::AcceptsStaleNumbers) if Some(poll.asked_at) < replica.changed_at() => {
            (poll.asked_at, answer.max(known))
        }
        _ => (poll.asked_at, answer),
    }
}

/// Returns `true` if a replica accepts the answer of a standby with this state.
pub fn accepts_copy(flaw: Option<Flaw>, replica: &Replica, copy: &Store, at: Instant) -> bool {
    let current = replica.cache.current_revision(at).map(|current| current.number);
    match flaw {
        Some(Flaw::AcceptsLargerCopies) => current.is_some_and(|current| current <= copy.number),
        Some(Flaw::AcceptsOldCopies) => replica.known() == Some(copy.number),
        _ => current == Some(copy.number),
    }
}

/// Returns the announcement that the cache sees.
pub fn announcement(flaw: Option<Flaw>, replica: &Replica, change: &Change) -> Change {
    let mut change = change.clone();
    if let (Some(Flaw::IgnoresGaps), Some(known)) = (flaw, replica.known()) {
        change.predecessor = Some(known);
    }
    change
}
