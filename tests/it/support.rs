//! Test support: a separate server and store for each test, and a clock that the test sets.

pub mod bamboo;
pub mod browser;
pub mod certificate;
pub mod client;
pub mod cluster;
pub mod program;
pub mod recorder;
pub mod store;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use actix_web::dev::ServerHandle;
use clap::Parser;
use sha2::{Digest, Sha256};
use tokenbridge::{
    domain::{
        clock::{Clock, Timestamp},
        random::{Random, RandomError},
    },
    service::Service,
    settings::{ListenAddress, ServeSettings},
    startup::{self, listeners::Listeners},
};

use client::Client;
use store::{StoreKind, TestStore};

/// The name and the password of the admin that every test store has.
pub const ADMIN: (&str, &str) = ("admin", "correct horse battery");

/// The permission to read tokens.
pub const READ: &str = "OrganizationAPITokenRead";
/// The permission to create, change and delete tokens.
pub const MODIFY: &str = "OrganizationAPITokenModify";

/// The initial time of the tests' clock.
pub const START: &str = "2030-01-01T00:00:00Z";

/// The environment of a test: an empty store, and a clock.
pub struct TestEnv {
    pub kind: StoreKind,
    pub store: TestStore,
    pub clock: Arc<TestClock>,
}

impl TestEnv {
    pub fn new(kind: StoreKind) -> Self {
        Self {
            kind,
            store: TestStore::new(kind),
            clock: Arc::new(TestClock::default()),
        }
    }

    /// A server on the environment's store.
    pub fn app(&self) -> TestApp {
        self.app_with(&[])
    }

    /// A server on the environment's store, with flags.
    pub fn app_with(&self, flags: &[&str]) -> TestApp {
        self.app_on(&self.store.url(), flags)
    }

    /// The service over the environment's store, without a server.
    pub fn service(&self) -> Service {
        let flags = Flags::parse_from(["tokenbridge", "--database-url", &self.store.url()]);
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        startup::open_service_with(&flags.serve.store, false, clock, Arc::new(TestRandom)).unwrap()
    }

    /// A server on any store, with flags.
    pub fn app_on(&self, database_url: &str, flags: &[&str]) -> TestApp {
        TestApp::start(database_url, flags, Arc::clone(&self.clock) as Arc<dyn Clock>)
    }
}

/// Flags as `serve` takes them.
#[derive(Parser)]
pub struct Flags {
    #[command(flatten)]
    pub serve: ServeSettings,
}

/// A running server, and a client for it.
pub struct TestApp {
    pub client: Client,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl std::ops::Deref for TestApp {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl TestApp {
    fn start(database_url: &str, flags: &[&str], clock: Arc<dyn Clock>) -> Self {
        let common = [
            "tokenbridge",
            "--listen",
            "127.0.0.1:0",
            "--workers",
            "1",
            "--database-url",
            database_url,
        ];
        let settings = Flags::parse_from(common.iter().chain(flags)).serve;
        let (send, receive) = mpsc::channel();
        let of_thread = settings.clone();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let random = Arc::new(TestRandom);
                let service = startup::open_service_with(&of_thread.store, false, clock, random).unwrap();
                let config = of_thread.http_config().unwrap();
                let running = startup::build(&of_thread, config, Arc::new(service), Listeners::default())
                    .await
                    .unwrap();
                let ListenAddress::Tcp(address) = running.addresses[0] else {
                    panic!("the first address is {}", running.addresses[0]);
                };
                send.send((address, running.handle())).unwrap();
                // A test may have removed the store.
                let _ = running.run_until_stopped().await;
            });
        });
        let (address, handle) = receive.recv().expect("the server starts");
        Self {
            client: Client::new(address, &settings.base_path),
            handle,
            thread: Some(thread),
        }
    }

    /// Stops the server gracefully, and waits until it has written everything.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            let stopping = self.handle.stop(true);
            drop(stopping);
            thread.join().expect("the server ends well");
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.end();
    }
}

/// A wall clock and a monotonic clock that change only when a test moves them.
pub struct TestClock {
    wall_micros: AtomicI64,
    started: Instant,
    elapsed_micros: AtomicU64,
}

impl Default for TestClock {
    fn default() -> Self {
        Self {
            wall_micros: AtomicI64::new(time(START).micros()),
            started: Instant::now(),
            elapsed_micros: AtomicU64::new(0),
        }
    }
}

impl TestClock {
    /// Advances both clocks.
    pub fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap();
        self.elapsed_micros.fetch_add(micros, Ordering::SeqCst);
        self.step_forward(by);
    }

    /// Sets the wall clock forward.
    pub fn step_forward(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap();
        self.wall_micros.fetch_add(micros, Ordering::SeqCst);
    }

    /// Sets the wall clock back.
    pub fn step_back(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap();
        self.wall_micros.fetch_sub(micros, Ordering::SeqCst);
    }

    /// Returns the time this many seconds from now, in the format of the APIs.
    pub fn seconds_from_now(&self, seconds: i64) -> String {
        let micros = self.wall_micros.load(Ordering::SeqCst) + seconds * 1_000_000;
        Timestamp::from_micros(micros).unwrap().to_string()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.wall_micros.load(Ordering::SeqCst)).unwrap()
    }

    fn monotonic(&self) -> Instant {
        self.started + Duration::from_micros(self.elapsed_micros.load(Ordering::SeqCst))
    }
}

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Bytes that differ between any two draws of this process. They are not secret.
pub struct TestRandom;

impl Random for TestRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        static DRAWS: AtomicU64 = AtomicU64::new(0);
        for chunk in bytes.chunks_mut(32) {
            let draw = DRAWS.fetch_add(1, Ordering::SeqCst);
            let drawn = Sha256::digest(draw.to_be_bytes());
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        Ok(())
    }
}

/// The time after which no replica accepts a credential that was revoked.
pub const MAX_REVOCATION_DELAY: Duration = Duration::from_secs(1);

/// Uses a credential that was revoked until it is refused. Returns the time from `revoked` to the request that was
/// refused; a use that begins a second after the revocation must be refused, however long its response takes.
pub fn wait_for_refusal(revoked: Instant, is_accepted: impl Fn() -> bool) -> Duration {
    loop {
        let asked = revoked.elapsed();
        if !is_accepted() {
            return asked;
        }
        assert!(
            asked < MAX_REVOCATION_DELAY,
            "still accepted {asked:?} after the revocation was answered"
        );
    }
}

/// Waits until `done` returns a value. Tests wait for a condition, never for a fixed time.
pub fn wait_until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    for _ in 0..3000 {
        if let Some(found) = done() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("this did not happen within 30 s: {what}");
}
