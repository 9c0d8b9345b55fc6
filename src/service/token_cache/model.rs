//! Model-checks the guarantee on revocation: the server that revokes a token refuses it
//! immediately, and all others within a second.
//!
//! The checker explores every interleaving of a store, its failovers, and servers whose caches are
//! the real [`TokenCache`]. The network is as bad as possible: an announcement may arrive any
//! number of times, in any order and arbitrarily late, or never; reads and polls may take any time.
//! Replica 0 also makes changes; changes by other processes count as acknowledged as soon as they
//! are committed. A failover may lose any number of the last commits, and connections may survive
//! it, as behind a pooler. A standby answers reads from any state that a primary has ever had, also
//! from those that a failover has lost.
//!
//! `MODEL_BOUNDS='changes=3 failovers=1 tick=200' cargo test --lib after_a_failover -- --nocapture`
//! explores more than CI has time for.

mod flaws;
mod protocol;
mod world;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use stateright::{Checker, Model};

use super::{Credential, TokenCache, VerifiedToken};
use crate::store::revision::Change;
use flaws::Flaw;
use protocol::{Action, Protocol};
use world::ChangeKind;

/// Maximum time after its acknowledgment until a revocation takes effect on other servers.
const MAX_REVOCATION_DELAY: Duration = Duration::from_secs(1);
/// The length of a time step in CI, coarse enough to finish quickly.
const CI_TICK: Duration = Duration::from_millis(400);

/// The credentials of the model: two successive values of token X, and the value of token Y.
const CREDENTIALS: [usize; 3] = [X0, X1, Y];
const X0: usize = 0;
const X1: usize = 1;
const Y: usize = 2;

/// The cache entry for each credential.
type CachedCredentials = Arc<[(Credential, VerifiedToken); 3]>;

/// The bounds of the exploration.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    replicas: usize,
    kinds: &'static [ChangeKind],
    changes: usize,
    failovers: usize,
    /// `true` if reads go to a standby too.
    standby: bool,
    /// The length of a time step.
    tick: Duration,
}

impl Bounds {
    /// Returns these bounds, with overrides from `MODEL_BOUNDS`.
    fn or_from_environment(mut self) -> Self {
        let text = std::env::var("MODEL_BOUNDS").unwrap_or_default();
        for (name, number) in text.split_whitespace().filter_map(|pair| pair.split_once('=')) {
            let number: u32 = number.parse().expect("a number");
            match name {
                "replicas" => self.replicas = number as usize,
                "changes" => self.changes = number as usize,
                "failovers" => self.failovers = number as usize,
                "tick" => self.tick = Duration::from_millis(number.into()),
                _ => panic!("MODEL_BOUNDS: {name} is none of replicas, changes, failovers and tick"),
            }
        }
        self
    }
}

/// Explores the protocol within these bounds. Returns a trace that violates the guarantee, if there
/// is one.
fn counterexample(bounds: Bounds, flaw: Option<Flaw>) -> Option<Vec<Action>> {
    let began = Instant::now();
    let checker = Protocol::new(bounds, flaw).checker().threads(2).spawn_bfs().join();
    let states = checker.unique_state_count();
    println!("{bounds:?} {flaw:?}: {states} states in {:.1?}", began.elapsed());
    if flaw.is_none() {
        assert!(
            checker
                .discovery("a cache serves a token that was just revoked")
                .is_some()
        );
    }
    let found = checker.discovery("revoked tokens are refused")?;
    Some(found.into_actions())
}

#[test]
fn revoked_tokens_are_refused_within_a_second() {
    let bounds = Bounds {
        replicas: 1,
        kinds: ChangeKind::ALL,
        changes: 2,
        failovers: 0,
        standby: false,
        tick: CI_TICK,
    };
    assert_eq!(counterexample(bounds.or_from_environment(), None), None);
}

#[test]
fn after_a_failover_revoked_tokens_are_refused_within_a_second() {
    let bounds = Bounds {
        replicas: 1,
        kinds: ChangeKind::ALL,
        changes: 2,
        failovers: 1,
        standby: false,
        tick: CI_TICK,
    };
    assert_eq!(counterexample(bounds.or_from_environment(), None), None);
}

#[test]
fn a_standby_serves_no_revoked_token() {
    let bounds = Bounds {
        replicas: 1,
        kinds: &[ChangeKind::RotateX, ChangeKind::RevokeAll],
        changes: 2,
        failovers: 1,
        standby: true,
        tick: CI_TICK,
    };
    assert_eq!(counterexample(bounds.or_from_environment(), None), None);
}

#[test]
fn every_broken_variant_is_found() {
    for flaw in Flaw::ALL {
        let found = counterexample(flaw.bounds(), Some(flaw));
        assert!(found.is_some(), "{flaw:?}");
    }
}
