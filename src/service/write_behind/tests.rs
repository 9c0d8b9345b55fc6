use super::*;
use crate::domain::{actor::Channel, clock::SystemClock, random::OsRandom};

fn used_at(micros: i64) -> LastUse {
    LastUse {
        at: Timestamp::from_micros(micros).unwrap(),
        origin: Origin {
            channel: Channel::Verify,
            client: None,
        },
    }
}

/// A reader reads the store, a flush begins and ends, and then the reader asks the buffer.
#[tokio::test]
async fn a_flushed_use_still_excludes_tokens_that_were_read_before_it() {
    let write_behind = WriteBehind::default();
    let id = TokenId::generate(&OsRandom).unwrap();
    let last = used_at(1_800_000_000_000_000);
    let filter = ColumnFilter {
        unused_since: Some(last.at),
        ..ColumnFilter::default()
    };
    write_behind.record_use(id, UseOutcome::Accepted, last);
    write_behind
        .flush(Due::All, &SystemClock, async |_| Ok(()))
        .await
        .unwrap();
    let mut read_before = vec![id];
    write_behind.retain_matching(&mut read_before, &filter);
    assert!(read_before.is_empty());
    write_behind
        .flush(Due::All, &SystemClock, async |_| panic!("it was written"))
        .await
        .unwrap();
}

#[tokio::test]
async fn uses_of_a_failed_flush_are_added_to_later_ones() {
    let write_behind = WriteBehind::default();
    let id = TokenId::generate(&OsRandom).unwrap();
    let noon = 1_800_014_400_000_000;
    for (outcome, micros) in [
        (UseOutcome::Accepted, noon),
        (UseOutcome::Expired, noon + 1),
        (UseOutcome::Accepted, noon + 2),
    ] {
        write_behind.record_use(id, outcome, used_at(micros));
    }
    let failed = write_behind
        .flush(Due::All, &SystemClock, async |_| Err(Error::NotFound("store")))
        .await;
    assert!(failed.is_err());
    write_behind.record_use(id, UseOutcome::Accepted, used_at(noon + 3));
    write_behind.record_use(id, UseOutcome::Accepted, used_at(noon + 86_400_000_000));
    let check = async |batch: Batch| {
        assert_eq!(batch.last_uses(), [(id, used_at(noon + 86_400_000_000).at)]);
        let days = batch.day_uses().into_iter();
        let mut days: Vec<_> = days
            .map(|(_, day)| (day.last.at.micros() - noon, day.outcome, day.uses))
            .collect();
        days.sort_unstable();
        let expected = [
            (1, UseOutcome::Expired, 1),
            (3, UseOutcome::Accepted, 3),
            (86_400_000_000, UseOutcome::Accepted, 1),
        ];
        assert_eq!(days, expected);
        Ok(())
    };
    write_behind.flush(Due::All, &SystemClock, check).await.unwrap();
    let (pending, _guard) = write_behind.pending_uses(id).await;
    assert!(pending.is_empty());
}

#[tokio::test]
async fn many_uses_are_written_in_batches_and_only_what_failed_again() {
    let write_behind = WriteBehind::default();
    let tokens = 3 * MAX_TOKENS_PER_WRITE + 1;
    for _ in 0..tokens {
        let id = TokenId::generate(&OsRandom).unwrap();
        write_behind.record_use(id, UseOutcome::Accepted, used_at(1_800_000_000_000_000));
    }
    let written = std::cell::RefCell::new(Vec::new());
    let fails_from = std::cell::Cell::new(2);
    let write = async |batch: Batch| {
        if written.borrow().len() >= fails_from.get() {
            return Err(Error::NotFound("store"));
        }
        written.borrow_mut().push(batch.last_uses());
        Ok(())
    };
    assert!(write_behind.flush(Due::All, &SystemClock, &write).await.is_err());
    fails_from.set(usize::MAX);
    write_behind.flush(Due::All, &SystemClock, &write).await.unwrap();
    let sizes: Vec<_> = written.borrow().iter().map(Vec::len).collect();
    assert_eq!(
        sizes,
        [MAX_TOKENS_PER_WRITE, MAX_TOKENS_PER_WRITE, MAX_TOKENS_PER_WRITE, 1]
    );
    let ids: std::collections::HashSet<_> = written.borrow().iter().flatten().map(|(id, _)| *id).collect();
    assert_eq!(ids.len(), tokens);
}

/// A clock that a flush advances.
struct FlushClock {
    start: Instant,
    elapsed: Mutex<Duration>,
}

impl FlushClock {
    fn advance(&self, by: Duration) {
        *self.elapsed.lock().unwrap() += by;
    }
}

impl Clock for FlushClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000).unwrap()
    }

    fn monotonic(&self) -> Instant {
        self.start + *self.elapsed.lock().unwrap()
    }
}

/// Returns the IDs that a flush writes, which takes `took`.
async fn flush(write_behind: &WriteBehind, clock: &FlushClock, took: Duration) -> Vec<TokenId> {
    let written = Mutex::new(Vec::new());
    let write = async |batch: Batch| {
        clock.advance(took);
        written
            .lock()
            .unwrap()
            .extend(batch.last_uses().into_iter().map(|(id, _)| id));
        Ok(())
    };
    let due = Due::At(clock.monotonic());
    write_behind.flush(due, clock, write).await.unwrap();
    written.into_inner().unwrap()
}

#[tokio::test]
async fn after_a_long_flush_only_tokens_without_a_recent_use_are_written() {
    let clock = FlushClock {
        start: Instant::now(),
        elapsed: Mutex::default(),
    };
    let write_behind = WriteBehind::default();
    let [busy, new] = [(); 2].map(|()| TokenId::generate(&OsRandom).unwrap());
    let use_token = |id| write_behind.record_use(id, UseOutcome::Accepted, used_at(1_800_000_000_000_000));
    let (long, second) = (Duration::from_secs(3), Duration::from_secs(1));
    use_token(busy);
    assert_eq!(flush(&write_behind, &clock, long).await, [busy]);
    use_token(busy);
    use_token(new);
    assert_eq!(flush(&write_behind, &clock, Duration::ZERO).await, [new]);
    for _ in 0..3 {
        let another = TokenId::generate(&OsRandom).unwrap();
        use_token(another);
        assert_eq!(flush(&write_behind, &clock, Duration::ZERO).await, [another]);
    }
    assert_eq!(write_behind.state().flushed.len(), KEPT_FLUSHES);
    use_token(busy);
    assert!(flush(&write_behind, &clock, Duration::ZERO).await.is_empty());
    clock.advance((4 * long).saturating_sub(second));
    use_token(new);
    assert!(flush(&write_behind, &clock, Duration::ZERO).await.is_empty());
    clock.advance(second);
    let mut both = [busy, new];
    both.sort_unstable();
    assert_eq!(flush(&write_behind, &clock, 10 * long).await, both);
    use_token(busy);
    clock.advance(MAX_PAUSE.saturating_sub(second));
    assert!(flush(&write_behind, &clock, Duration::ZERO).await.is_empty());
    clock.advance(second);
    assert_eq!(flush(&write_behind, &clock, Duration::ZERO).await, [busy]);
    // A short flush is followed by no pause.
    use_token(busy);
    assert_eq!(flush(&write_behind, &clock, Duration::ZERO).await, [busy]);
}

/// Threads record uses while flushes take the new ones or all, and some fail.
#[tokio::test]
async fn every_use_beside_flushes_is_written_once() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 100;
    let clock = FlushClock {
        start: Instant::now(),
        elapsed: Mutex::default(),
    };
    let write_behind = Arc::new(WriteBehind::default());
    let ids: Arc<[TokenId]> = (0..200).map(|_| TokenId::generate(&OsRandom).unwrap()).collect();
    let written = Mutex::new(HashMap::<TokenId, u64>::new());
    let attempts = std::cell::Cell::new(0);
    let write = async |batch: Batch| {
        clock.advance(Duration::from_secs(1));
        attempts.set(attempts.get() + 1);
        if attempts.get() % 5 == 0 {
            return Err(Error::NotFound("store"));
        }
        let mut written = written.lock().unwrap();
        for (id, day) in batch.day_uses() {
            *written.entry(id).or_default() += day.uses;
        }
        Ok(())
    };
    let record = || {
        let (write_behind, ids) = (Arc::clone(&write_behind), Arc::clone(&ids));
        std::thread::spawn(move || {
            for id in (0..ROUNDS).flat_map(|_| ids.iter()) {
                write_behind.record_use(*id, UseOutcome::Accepted, used_at(1_800_000_000_000_000));
            }
        })
    };
    let recording: Vec<_> = (0..THREADS).map(|_| record()).collect();
    while !recording.iter().all(std::thread::JoinHandle::is_finished) {
        clock.advance(Duration::from_secs(1));
        let _ = write_behind.flush(Due::At(clock.monotonic()), &clock, &write).await;
    }
    while write_behind.flush(Due::All, &clock, &write).await.is_err() {}
    let written = written.into_inner().unwrap();
    assert_eq!(written.len(), ids.len());
    assert!(written.values().all(|uses| *uses == THREADS * ROUNDS), "{written:?}");
}
