use super::*;
use crate::store::{connection::ConnectionOptions, url::DatabaseUrl};
use diesel::{RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::BigInt};
use std::{future::Future, sync::mpsc};

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

struct Fixture {
    writer: Writer,
    pool: Pool,
    directory: tempfile::TempDir,
}

fn pool_of(directory: &tempfile::TempDir) -> Pool {
    let options = ConnectionOptions {
        timeout: Duration::from_secs(5),
        keeps_sessions: true,
    };
    Pool::new(
        DatabaseUrl::Sqlite(directory.path().join("w.db")),
        options,
        2,
        Duration::from_mins(1),
    )
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    std::fs::File::create(directory.path().join("w.db")).unwrap();
    let pool = pool_of(&directory);
    pool.get()
        .unwrap()
        .conn
        .batch_execute("CREATE TABLE numbers (n BIGINT PRIMARY KEY)")
        .unwrap();
    Fixture {
        writer: Writer::start(pool.clone()).unwrap(),
        pool,
        directory,
    }
}

fn insert(conn: &mut AnyConnection, number: i64) -> Result<(), StoreError> {
    let row = sql_query("INSERT INTO numbers VALUES (?)").bind::<BigInt, _>(number);
    match conn {
        AnyConnection::Sqlite(conn) => row.execute(conn)?,
        AnyConnection::Postgres(conn) => row.execute(conn)?,
    };
    Ok(())
}

impl Fixture {
    fn count(&self) -> i64 {
        let mut pooled = self.pool.get().unwrap();
        let AnyConnection::Sqlite(conn) = &mut pooled.conn else {
            panic!("it is SQLite")
        };
        let counts: Vec<Count> = sql_query("SELECT count(*) AS count FROM numbers").load(conn).unwrap();
        counts[0].count
    }

    fn write<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> impl Future<Output = Result<T, StoreError>> + 'static {
        let options = WriteOptions {
            deadline: Instant::now() + timeout,
            max_duration: Duration::from_secs(10),
            exclusive: false,
            waiting: WaitingGuard::new(&Arc::default()),
        };
        let writer = self.writer.clone();
        async move { writer.write(options, work).await }
    }

    /// Runs `others` while the thread is blocked, so that they form one batch, and returns
    /// their results. The thread is released after `timeouts` of them have timed out.
    async fn run_together<T: Send + 'static>(
        &self,
        timeouts: usize,
        others: Vec<impl Future<Output = Result<T, StoreError>> + 'static>,
    ) -> Vec<Result<T, StoreError>> {
        let (release, held) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let first = self.write(LONG, move |_| {
            begun.send(()).unwrap();
            held.recv().unwrap();
            Ok(())
        });
        let set = tokio::task::LocalSet::new();
        set.run_until(async {
            let first = tokio::task::spawn_local(first);
            while has_begun.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
            let others: Vec<_> = others.into_iter().map(tokio::task::spawn_local).collect();
            // After one poll each has added its work to the queue.
            tokio::task::yield_now().await;
            while others.iter().filter(|other| other.is_finished()).count() < timeouts {
                tokio::task::yield_now().await;
            }
            release.send(()).unwrap();
            first.await.unwrap().unwrap();
            let mut outcomes = Vec::new();
            for other in others {
                outcomes.push(other.await.unwrap());
            }
            outcomes
        })
        .await
    }
}

const LONG: Duration = Duration::from_secs(30);

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(work)
}

#[test]
fn a_failed_write_is_rolled_back_without_affecting_the_batch() {
    let fixture = fixture();
    let numbers = [1, 2, 2, 3, 4];
    let writes = numbers.into_iter().enumerate().map(|(index, number)| {
        fixture.write(LONG, move |conn| {
            insert(conn, 100 + i64::try_from(index).unwrap())?;
            insert(conn, number)
        })
    });
    let outcomes = run(fixture.run_together(0, writes.collect()));
    let done: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(done, [true, true, false, true, true]);
    assert!(matches!(outcomes[2], Err(StoreError::AlreadyExists)));
    assert_eq!(fixture.count(), 8);
}

/// Simulates SQLite, which rolls back the whole transaction when the disk is full.
#[test]
fn a_lost_transaction_fails_every_write_of_the_batch() {
    let fixture = fixture();
    let writes = (1..=4).map(|number| {
        fixture.write(LONG, move |conn| {
            insert(conn, number)?;
            if number == 3 {
                conn.batch_execute("ROLLBACK")?;
                return Err(StoreError::Timeout);
            }
            Ok(())
        })
    });
    let outcomes = run(fixture.run_together(0, writes.collect()));
    assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
    assert_eq!(fixture.count(), 0);
    run(fixture.write(LONG, |conn| insert(conn, 7))).unwrap();
    assert_eq!(fixture.count(), 1);
}

#[test]
fn a_panicking_write_fails_and_the_thread_continues() {
    let fixture = fixture();
    let writes = (1..=3).map(|number| {
        fixture.write(LONG, move |conn| {
            assert!(number != 2, "a panic of the test");
            insert(conn, number)
        })
    });
    let outcomes = run(fixture.run_together(0, writes.collect()));
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Err(StoreError::Panicked)))
    );
    assert_eq!(fixture.count(), 0);
    run(fixture.write(LONG, |conn| insert(conn, 7))).unwrap();
    assert_eq!(fixture.count(), 1);
}

#[test]
fn a_write_that_timed_out_in_the_queue_never_runs() {
    let fixture = fixture();
    let writes = vec![fixture.write(Duration::ZERO, |conn| insert(conn, 1))];
    let outcomes = run(fixture.run_together(1, writes));
    assert!(matches!(outcomes[0], Err(StoreError::Busy)), "{outcomes:?}");
    run(fixture.write(LONG, |conn| insert(conn, 2))).unwrap();
    assert_eq!(fixture.count(), 1);
}

#[test]
fn a_write_that_started_in_time_may_outlast_its_deadline() {
    let fixture = fixture();
    // Long enough for the thread to wake on a busy machine.
    let deadline = Duration::from_secs(1);
    let write = fixture.write(deadline, move |conn| {
        std::thread::sleep(deadline + Duration::from_millis(100));
        insert(conn, 1)
    });
    run(write).unwrap();
    assert_eq!(fixture.count(), 1);
}

#[test]
fn a_cancelled_write_is_not_started() {
    let fixture = fixture();
    let write = fixture.write(LONG, |conn| insert(conn, 1));
    let timed_out = async move {
        let timed_out = time::timeout(Duration::ZERO, write).await;
        timed_out.map_err(|_| StoreError::Timeout)?
    };
    let outcomes = run(fixture.run_together(1, vec![timed_out]));
    assert!(matches!(outcomes[0], Err(StoreError::Timeout)), "{outcomes:?}");
    run(fixture.write(LONG, |conn| insert(conn, 2))).unwrap();
    assert_eq!(fixture.count(), 1);
}

#[test]
fn dropping_the_writer_joins_the_thread_and_leaves_one_file() {
    let fixture = fixture();
    let (begun, has_begun) = mpsc::channel();
    let write = fixture.write(LONG, move |conn| {
        begun.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        insert(conn, 1)
    });
    run(async {
        let mut write = Box::pin(write);
        let _ = futures_util::poll!(write.as_mut());
        has_begun.recv().unwrap();
    });
    let Fixture {
        writer,
        pool,
        directory,
    } = fixture;
    drop(writer);
    drop(pool);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    let fixture = Fixture {
        pool: pool_of(&directory),
        writer: Writer::start(pool_of(&directory)).unwrap(),
        directory,
    };
    assert_eq!(fixture.count(), 1);
}
