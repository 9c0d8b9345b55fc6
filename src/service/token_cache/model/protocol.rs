//! The protocol that the model checker explores.

use std::sync::Arc;

use stateright::{Model, Property};

use super::{
    Bounds, CREDENTIALS, CachedCredentials, Change, Credential, Duration, Instant, MAX_REVOCATION_DELAY, X0, Y,
    flaws::{self, Flaw},
    world::{ChangeKind, Poll, Read, Replica, Store, World},
};
use crate::{
    domain::{clock::Timestamp, random::OsRandom, token::Token, value::TokenValue},
    service::token_cache::VerifiedToken,
    store::revision::{Listener, Revision, Step},
};

/// The wall-clock time. It is constant because no value of the model is in a grace period.
const NOW: i64 = 1_800_000_000_000_000;

/// The protocol, or a broken variant of it.
pub struct Protocol {
    bounds: Bounds,
    flaw: Option<Flaw>,
    start: Instant,
    cached: CachedCredentials,
}

/// An event in the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Time passes.
    AdvanceTime,
    /// A change is committed, by replica 0, which acknowledges it later, or by another process.
    Commit { kind: ChangeKind, here: bool, step: i64 },
    /// Replica 0 applies the change that it committed, and responds to its client.
    Acknowledge,
    /// Another primary takes over. It has only the first `kept` changes.
    FailOver { kept: usize },
    /// A replica acts.
    Replica(usize, ReplicaAction),
}

/// An action of a replica.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReplicaAction {
    SendPoll,
    /// The store responds to the poll; the response is still in transit.
    AnswerPoll,
    ReceivePoll,
    /// The polling connection breaks and is reopened.
    Reconnect,
    /// A client presents a credential that is not cached.
    BeginRead(usize),
    /// The store responds to the read; the response is still in transit.
    AnswerRead,
    EndRead,
    /// A client presents a credential that is not cached, and a standby with this copy of the store responds. The
    /// response is still in transit.
    ReadCopy(usize, usize),
    /// An announcement arrives.
    ReceiveChange(usize),
    Restart,
}

impl Protocol {
    pub fn new(bounds: Bounds, flaw: Option<Flaw>) -> Self {
        let now = Timestamp::from_micros(NOW).unwrap();
        let [x, y] = [Token::sample(now), Token::sample(now)];
        let cached = [&x, &x, &y].map(|token| {
            let value = TokenValue::generate(&OsRandom).unwrap().hash();
            (Credential::Value(value), VerifiedToken::new(token.clone(), None))
        });
        assert!(cached[X0].1.token.id != cached[Y].1.token.id);
        Self {
            bounds,
            flaw,
            // Some flaws need the history.
            start: Instant::now() + Duration::from_mins(1),
            cached: Arc::new(cached),
        }
    }

    fn has_flaw(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Returns the possible increments of the revision. After a failover the new numbers lie below,
    /// between, and above the lost ones, but never equal them: that is the purpose of random steps.
    fn steps(&self, world: &World) -> &'static [i64] {
        match world.failovers_left == self.bounds.failovers {
            _ if self.has_flaw(Flaw::CountsByOne) => &[1],
            true => &[1000],
            // A number between lost ones requires at least two lost changes.
            false if self.bounds.changes < 3 => &[10, 10_000],
            false => &[10, 1550, 10_000],
        }
    }

    fn commit(&self, world: &mut World, kind: ChangeKind, here: bool, step: i64) {
        world.history.push(world.store.clone());
        world.copy();
        let before = world.store.valid;
        let Some(invalidation) = world.store.apply(kind, &self.cached) else {
            return;
        };
        world.store.number += step;
        let change = Change::new(revision(world.store.number), Step::new(step), invalidation);
        let change = Arc::new(change);
        world.announced.push(Arc::clone(&change));
        let revoked = CREDENTIALS.map(|at| before[at] && !world.store.valid[at]);
        if here {
            world.unacknowledged = Some((change, revoked));
        } else {
            world.acknowledge(revoked, false);
        }
    }

    fn acknowledge(&self, world: &mut World) {
        let Some((change, revoked)) = world.unacknowledged.take() else {
            return;
        };
        if !self.has_flaw(Flaw::ForgetsLocalChanges) {
            world.replicas[0].cache.apply_change(&change, world.at);
        }
        world.acknowledge(revoked, true);
    }

    fn step_replica(&self, world: &mut World, index: usize, what: ReplicaAction) {
        let (at, store) = (world.at, world.store.clone());
        let replica = &mut world.replicas[index];
        match what {
            ReplicaAction::SendPoll => {
                replica.poll = Some(Poll {
                    asked_at: at,
                    answer: None,
                });
            }
            ReplicaAction::AnswerPoll => {
                let poll = replica.poll.as_mut();
                poll.unwrap().answer = Some(store.number);
            }
            ReplicaAction::ReceivePoll => {
                let poll = replica.poll.take().unwrap();
                let (asked_at, number) = flaws::poll(self.flaw, replica, &poll, at);
                replica.cache.observe_revision(revision(number), asked_at, at);
            }
            ReplicaAction::Reconnect => {
                replica.poll = None;
                replica.cache.reset(at);
            }
            ReplicaAction::BeginRead(credential) => {
                replica.read = Some(Read {
                    credential,
                    generation: replica.cache.generation(),
                    is_answered: false,
                });
            }
            ReplicaAction::AnswerRead => {
                let read = replica.read.as_mut().unwrap();
                read.is_answered = true;
                if !store.valid[read.credential] {
                    replica.read = None;
                }
            }
            ReplicaAction::EndRead => {
                let read = replica.read.take().unwrap();
                let generation = if self.has_flaw(Flaw::IgnoresGeneration) {
                    replica.cache.generation()
                } else {
                    read.generation
                };
                let (credential, verified) = self.cached[read.credential].clone();
                replica.cache.insert(generation, credential, verified, at);
            }
            ReplicaAction::ReadCopy(credential, _) => {
                replica.read = Some(Read {
                    credential,
                    generation: replica.cache.generation(),
                    is_answered: true,
                });
            }
            ReplicaAction::ReceiveChange(change) => {
                let change = flaws::announcement(self.flaw, replica, &world.announced[change]);
                replica.cache.apply_change(&change, at);
            }
            ReplicaAction::Restart => {
                *replica = Replica::default();
                if index == 0 {
                    world.unacknowledged = None;
                }
            }
        }
    }

    /// Returns `true` if a replica accepts a credential from a standby with this copy of the store.
    fn accepts_from(&self, world: &World, replica: usize, credential: usize, copy: &Store) -> bool {
        copy.valid[credential] && flaws::accepts_copy(self.flaw, &world.replicas[replica], copy, world.at)
    }

    /// Returns `true` if a replica serves a credential, from its cache or from a standby.
    fn serves(&self, world: &World, replica: usize, credential: usize) -> bool {
        let mut copies = world.copies.iter();
        self.serves_cached(world, replica, credential)
            || copies.any(|copy| self.accepts_from(world, replica, credential, copy))
    }

    /// Returns `true` if a replica serves a credential from its cache.
    fn serves_cached(&self, world: &World, replica: usize, credential: usize) -> bool {
        let at = if self.has_flaw(Flaw::TrustsTooLong) {
            world.at.checked_sub(2 * world.tick).unwrap()
        } else {
            world.at
        };
        let cache = &world.replicas[replica].cache;
        let now = Timestamp::from_micros(NOW).unwrap();
        cache.get(&self.cached[credential].0, now, at).is_some()
    }

    fn replica_actions(&self, world: &World, index: usize, actions: &mut Vec<Action>) {
        let replica = &world.replicas[index];
        let mut can = |what| actions.push(Action::Replica(index, what));
        match &replica.poll {
            None => can(ReplicaAction::SendPoll),
            Some(Poll { answer: None, .. }) => can(ReplicaAction::AnswerPoll),
            Some(_) => can(ReplicaAction::ReceivePoll),
        }
        match &replica.read {
            None => {
                let missing = CREDENTIALS.into_iter().filter(|at| !replica.has(&self.cached[*at].0));
                for credential in missing {
                    if world.store.valid[credential] {
                        can(ReplicaAction::BeginRead(credential));
                    }
                    for (at, copy) in world.copies.iter().enumerate() {
                        if self.accepts_from(world, index, credential, copy) {
                            can(ReplicaAction::ReadCopy(credential, at));
                        }
                    }
                }
            }
            Some(read) if read.is_answered => can(ReplicaAction::EndRead),
            Some(_) => can(ReplicaAction::AnswerRead),
        }
        if replica.is_connected() {
            can(ReplicaAction::Reconnect);
            (0..world.announced.len()).for_each(|change| can(ReplicaAction::ReceiveChange(change)));
        }
        // Without a pending read or acknowledgment, a restart equals a reconnection.
        if replica.read.is_some() || (index == 0 && world.unacknowledged.is_some()) {
            can(ReplicaAction::Restart);
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.start, Arc::clone(&self.cached), self.bounds)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.push(Action::AdvanceTime);
        if world.changes_left > 0 {
            for &kind in self.bounds.kinds {
                if !world.allows(kind) {
                    continue;
                }
                for &step in self.steps(world) {
                    actions.push(Action::Commit {
                        kind,
                        here: false,
                        step,
                    });
                    if world.unacknowledged.is_none() {
                        actions.push(Action::Commit { kind, here: true, step });
                    }
                }
            }
        }
        if world.unacknowledged.is_some() {
            actions.push(Action::Acknowledge);
        }
        if world.failovers_left > 0 {
            actions.extend((0..world.history.len()).map(|kept| Action::FailOver { kept }));
        }
        for index in 0..world.replicas.len() {
            self.replica_actions(world, index, actions);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        // Events never happen at the same instant.
        world.at += Duration::from_nanos(1);
        match action {
            Action::AdvanceTime => world.advance(),
            Action::Commit { kind, here, step } => {
                world.changes_left -= 1;
                self.commit(&mut world, kind, here, step);
            }
            Action::Acknowledge => self.acknowledge(&mut world),
            Action::FailOver { kept } => world.fail_over(kept),
            Action::Replica(index, what) => self.step_replica(&mut world, index, what),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("revoked tokens are refused", |protocol: &Self, world: &World| {
                (0..world.replicas.len()).all(|replica| {
                    CREDENTIALS.into_iter().all(|credential| {
                        let revocation = world.revocations[credential];
                        revocation.is_none_or(|revocation| {
                            let at_once = replica == 0 && revocation.here;
                            let due =
                                at_once || world.at.duration_since(revocation.acknowledged_at) >= MAX_REVOCATION_DELAY;
                            !(due && protocol.serves(world, replica, credential))
                        })
                    })
                })
            }),
            Property::sometimes(
                "a cache serves a token that was just revoked",
                |protocol: &Self, world: &World| {
                    let last = world.replicas.len() - 1;
                    let mut credentials = CREDENTIALS.into_iter();
                    credentials.any(|at| world.revocations[at].is_some() && protocol.serves(world, last, at))
                },
            ),
        ]
    }
}

fn revision(number: i64) -> Revision {
    Revision {
        store_id: "store".to_owned(),
        number,
    }
}
