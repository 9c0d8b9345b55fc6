use super::*;
use crate::store::revision::{Change, Revision};

/// Knows the revision with this number of the store "a".
struct Known(i64);

impl Listener for Known {
    fn reset(&self, _: Instant) {}

    fn observe_revision(&self, _: Revision, _: Instant, _: Instant) {}

    fn apply_change(&self, _: &Change, _: Instant) {}

    fn current_revision(&self, _: Instant) -> Option<Revision> {
        Some(revision("a", self.0))
    }
}

fn revision(store_id: &str, number: i64) -> Revision {
    Revision {
        store_id: store_id.to_owned(),
        number,
    }
}

fn standby(number: i64, position: i64) -> ServerState {
    ServerState {
        revision: revision("a", number),
        position: LogPosition::new(position),
        is_standby: true,
    }
}

/// A tracker, and the times in milliseconds.
struct Fixture {
    tracker: Tracker,
    start: Instant,
}

impl Fixture {
    /// Knows revision 7, and has polled primary and replica, which were both at position 100.
    fn new() -> Self {
        let fixture = Self {
            tracker: Tracker::new("replica".to_owned(), Arc::new(Known(7))),
            start: Instant::now(),
        };
        fixture.poll_primary(100, 0);
        fixture.poll_replica(100, 1);
        fixture
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn poll_primary(&self, position: i64, millis: u64) {
        self.tracker
            .observe_primary(LogPosition::new(position), self.at(millis));
    }

    fn poll_replica(&self, position: i64, millis: u64) {
        self.tracker.observe_replica(&standby(7, position), self.at(millis));
    }

    fn is_usable(&self, need: Need, millis: u64) -> bool {
        self.tracker.is_usable(need, self.at(millis))
    }

    fn check(&self, replica: &ServerState, need: Need) -> Result<(), ReplicaFault> {
        self.tracker.check(replica, need, self.at(2))
    }
}

#[test]
fn only_a_standby_with_the_known_revision_answers() {
    let fixture = Fixture::new();
    assert_eq!(fixture.check(&standby(7, 0), Need::Changes), Ok(()));
    // A larger number can be that of a change that a failover lost.
    for number in [6, 8] {
        let checked = fixture.check(&standby(number, 200), Need::Changes);
        assert_eq!(checked, Err(ReplicaFault::Behind), "{number}");
    }
    let foreign = ServerState {
        revision: revision("b", 7),
        ..standby(7, 200)
    };
    assert_eq!(fixture.check(&foreign, Need::Changes), Err(ReplicaFault::Behind));
    let primary = ServerState {
        is_standby: false,
        ..standby(7, 200)
    };
    assert_eq!(fixture.check(&primary, Need::Changes), Err(ReplicaFault::NotStandby));
}

#[test]
fn a_list_needs_the_position_of_a_poll_after_the_last_write() {
    let fixture = Fixture::new();
    assert_eq!(fixture.check(&standby(7, 99), Need::Writes), Err(ReplicaFault::Behind));
    assert_eq!(fixture.check(&standby(7, 100), Need::Writes), Ok(()));
    fixture.tracker.record_write(fixture.at(10));
    assert!(!fixture.is_usable(Need::Writes, 11) && fixture.is_usable(Need::Changes, 11));
    // The poll that was sent before the write ended may not include it.
    fixture.poll_primary(105, 9);
    assert!(!fixture.is_usable(Need::Writes, 12));
    fixture.poll_primary(110, 13);
    assert!(fixture.is_usable(Need::Writes, 14));
    assert_eq!(fixture.check(&standby(7, 109), Need::Writes), Err(ReplicaFault::Behind));
    assert_eq!(fixture.check(&standby(7, 110), Need::Writes), Ok(()));
}

#[test]
fn a_replica_that_is_silent_or_fails_is_not_asked_until_it_recovers() {
    let fixture = Fixture::new();
    assert!(fixture.is_usable(Need::Changes, 600));
    assert_eq!(
        fixture.tracker.time_to_silence(fixture.at(500)),
        Some(Duration::from_millis(101))
    );
    assert!(!fixture.is_usable(Need::Changes, 601));
    assert_eq!(fixture.tracker.time_to_silence(fixture.at(601)), None);
    fixture.poll_replica(100, 700);
    assert!(fixture.is_usable(Need::Changes, 701));
    fixture.tracker.observe_failure(&ReplicaFault::NotStandby);
    assert!(!fixture.is_usable(Need::Changes, 702));
    fixture.poll_primary(100, 710);
    fixture.poll_replica(100, 711);
    assert!(fixture.is_usable(Need::Changes, 712));
    fixture
        .tracker
        .record_failed_read(&ReplicaFault::Silent, fixture.at(800));
    for millis in (900..5900).step_by(100) {
        fixture.poll_primary(100, millis);
        fixture.poll_replica(100, millis + 1);
        assert_eq!(fixture.is_usable(Need::Changes, millis + 2), millis >= 5800, "{millis}");
    }
}

#[test]
fn a_replica_of_another_store_is_not_asked() {
    let fixture = Fixture::new();
    let foreign = ServerState {
        revision: revision("b", 7),
        ..standby(7, 200)
    };
    fixture.tracker.observe_replica(&foreign, fixture.at(100));
    assert!(!fixture.is_usable(Need::Changes, 101));
}

#[test]
fn lag_is_the_age_of_the_position_that_the_replica_has_reached() {
    let fixture = Fixture::new();
    let lag = |millis| fixture.tracker.status(fixture.at(millis)).1.unwrap().as_millis();
    assert_eq!(lag(60_000), 0, "the primary does not respond");
    for second in 1..=20 {
        fixture.poll_primary(100 + 10 * second, u64::try_from(second).unwrap() * 1000);
    }
    // It has the position that the primary had after 10 seconds, and half of the next second.
    fixture.poll_replica(205, 20_000);
    assert_eq!(lag(20_000), 10_000);
    assert!(!fixture.is_usable(Need::Changes, 20_001));
    fixture.poll_replica(300, 20_100);
    assert_eq!(lag(20_100), 0);
    // Nothing is written for a minute.
    fixture.poll_primary(300, 80_000);
    fixture.poll_replica(300, 80_100);
    assert_eq!(lag(80_100), 0);
    assert!(fixture.is_usable(Need::Changes, 80_101));
}

#[test]
fn a_primary_with_a_smaller_position_took_over() {
    let fixture = Fixture::new();
    for (millis, position) in [(100, 200), (200, 300), (300, 150), (400, 160)] {
        fixture.poll_primary(position, millis);
    }
    fixture.poll_replica(160, 500);
    let (_, lag) = fixture.tracker.status(fixture.at(500));
    assert_eq!(lag, Some(Duration::ZERO));
}

#[test]
fn positions_that_are_not_reached_are_limited() {
    let fixture = Fixture::new();
    for poll in 1..=5000 {
        fixture.poll_primary(100 + poll, u64::try_from(poll).unwrap() * 200);
    }
    assert_eq!(fixture.tracker.state().pending.len(), MAX_PENDING);
    fixture.poll_replica(5100, 1_000_100);
    let (_, lag) = fixture.tracker.status(fixture.at(1_000_100));
    assert_eq!(lag, Some(Duration::ZERO));
}
