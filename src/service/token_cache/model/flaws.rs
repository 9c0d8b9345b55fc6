//! Broken variants of the protocol. Each differs from the real one in what the cache is told, never in the cache itself.

use super::{
    Bounds, CI_TICK, Change, Instant,
    world::{Kind, Poll, Replica},
};

/// A broken variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flaw {
    /// What was read before an invalidation is cached after it.
    IgnoresGeneration,
    /// An answer vouches for two ticks longer than 0.8 s.
    TrustsTooLong,
    /// An answer vouches from when it arrived, not from when its poll was sent.
    VouchesFromArrival,
    /// A missed change does not clear the cache.
    IgnoresGaps,
    /// The server that makes a change waits for the feed like the others.
    ForgetsLocalChanges,
    /// A poll that is answered with a smaller number than is known changes nothing.
    AcceptsSmallerNumbers,
    /// So does one that was sent before the last change was heard of: the rule before superseded numbers were kept.
    AcceptsOvertakenNumbers,
    /// Each change advances the revision by one: the rule before steps were random.
    CountsByOne,
}

impl Flaw {
    pub const ALL: [Self; 8] = [
        Self::IgnoresGeneration,
        Self::TrustsTooLong,
        Self::VouchesFromArrival,
        Self::IgnoresGaps,
        Self::ForgetsLocalChanges,
        Self::AcceptsSmallerNumbers,
        Self::AcceptsOvertakenNumbers,
        Self::CountsByOne,
    ];

    /// The narrowest bounds within which it shows.
    pub fn bounds(self) -> Bounds {
        let (kinds, changes, failovers): (&[Kind], _, _) = match self {
            Self::IgnoresGeneration | Self::TrustsTooLong | Self::VouchesFromArrival | Self::ForgetsLocalChanges => {
                (&[Kind::RevokeX], 1, 0)
            }
            Self::IgnoresGaps => (&[Kind::RevokeX, Kind::RevokeY], 2, 0),
            Self::AcceptsSmallerNumbers | Self::CountsByOne => (&[Kind::RotateX, Kind::RevokeX], 2, 1),
            Self::AcceptsOvertakenNumbers => (&[Kind::RevokeX, Kind::RevokeY], 2, 1),
        };
        Bounds {
            replicas: 1,
            kinds,
            changes,
            failovers,
            tick: CI_TICK,
        }
    }
}

/// When a poll counts as sent, and what counts as its answer, when it is received at `at`.
pub fn poll(flaw: Option<Flaw>, replica: &Replica, poll: &Poll, at: Instant) -> (Instant, i64) {
    let answer = poll.answer.expect("an answer");
    let known = replica.known().unwrap_or(answer);
    match flaw {
        Some(Flaw::VouchesFromArrival) => (at, answer),
        Some(Flaw::AcceptsSmallerNumbers) => (poll.asked_at, answer.max(known)),
        Some(Flaw::AcceptsOvertakenNumbers) if Some(poll.asked_at) < replica.changed_at() => {
            (poll.asked_at, answer.max(known))
        }
        _ => (poll.asked_at, answer),
    }
}

/// What counts as an announcement that arrives.
pub fn announcement(flaw: Option<Flaw>, replica: &Replica, change: &Change) -> Change {
    let mut change = change.clone();
    if let (Some(Flaw::IgnoresGaps), Some(known)) = (flaw, replica.known()) {
        change.predecessor = Some(known);
    }
    change
}
