//! The fault matrix: every operation runs while a fault comes and goes.
//!
//! Each row is one fault. During the fault, a thread per operation repeats that operation. Afterwards no acknowledged
//! write is lost, no revoked value is accepted, and the server works again without intervention.

mod scenario;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use crate::{
    faults::disk::SmallDisk,
    support::{
        ADMIN, TestApp, TestEnv,
        client::{Auth, Client, TOKENS},
        cluster::Cluster,
        program::Program,
        store, wait_until,
    },
    tests,
};
use scenario::{FLAGS, Operation, Scenario, client_of, create, post};

tests![
    server_killed,
    server_frozen,
    clock_set_forward_a_year,
    clock_set_back_a_day,
    log_reader_stalled
];
tests![SQLITE_TESTS: database_file_moved_away, wal_removed];
tests![SMALL_DISK_TESTS: disk_full, database_file_immutable];
tests![POSTGRES_TESTS: database_killed, database_frozen, connections_cut];

/// Time for which an unresponsive process stays frozen.
const FROZEN_FOR: Duration = Duration::from_secs(2);
const YEAR: Duration = Duration::from_hours(365 * 24);
const DAY: Duration = Duration::from_hours(24);

const PASSWORD: [(&str, &str); 1] = [("TOKENBRIDGE_ADMIN_PASSWORD", ADMIN.1)];

fn server_killed(env: &TestEnv) {
    let server = Program::new(&env.store.url()).serve(&FLAGS);
    let scenario = Scenario::new(env, &env.store.url(), client_of(&server));
    scenario.run("killed", || scenario.restart(&server));
}

fn server_frozen(env: &TestEnv) {
    let server = Program::new(&env.store.url()).serve(&FLAGS);
    let scenario = Scenario::new(env, &env.store.url(), client_of(&server));
    scenario.run("frozen", || {
        server.signal("STOP");
        thread::sleep(FROZEN_FOR);
        server.signal("CONT");
    });
}

fn in_process(env: &TestEnv, name: &str, fault: impl FnOnce(&TestApp)) {
    let app = env.app_with(&FLAGS);
    let scenario = Scenario::new(env, &env.store.url(), Client::new(app.address, ""));
    scenario.run(name, || {
        fault(&app);
        scenario.wait_for_answers();
    });
}

fn clock_set_forward_a_year(env: &TestEnv) {
    in_process(env, "clock a year forward", |_| env.clock.step_forward(YEAR));
}

fn clock_set_back_a_day(env: &TestEnv) {
    in_process(env, "clock a day back", |_| env.clock.step_back(DAY));
}

/// The server's standard error is not read, and the pipe is full.
fn log_reader_stalled(env: &TestEnv) {
    let server = Program::new(&env.store.url()).serve(&FLAGS);
    let scenario = Scenario::new(env, &env.store.url(), client_of(&server));
    scenario.run("log not read", || {
        server.stop_reading_log();
        // Each call logs about 100 bytes, and a pipe holds 64 KiB.
        for _ in 0..2000 {
            server.client.get("/nowhere", Auth::Anonymous).expect(404);
        }
        scenario.wait_for_answers();
    });
}

/// The files of a SQLite store.
fn files(file: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| PathBuf::from(format!("{}{end}", file.display())))
}

/// Another file temporarily replaces the store.
fn database_file_moved_away(env: &TestEnv) {
    let server = Program::new(&env.store.url()).serve(&FLAGS);
    let scenario = Scenario::new(env, &env.store.url(), client_of(&server));
    let file = env.store.directory.path().join("tokenbridge.db");
    scenario.run("file taken away", || {
        let commands = scenario.commands.lock().unwrap();
        let away = |file: &PathBuf| file.with_extension(format!("{}.away", file.extension().unwrap().display()));
        for one in files(&file) {
            fs::rename(&one, away(&one)).unwrap();
        }
        fs::write(&file, "this is no database").unwrap();
        wait_until("a write is refused", || {
            post(&server.client, TOKENS, r#"{"name":"n"}"#).is_none().then_some(())
        });
        // The flush is a write, and the server is not ready before one has worked again.
        wait_until("a flush fails", || {
            server.log().contains("the write-behind flush failed").then_some(())
        });
        // The database file comes last: it is complete only with its log.
        for one in files(&file).iter().rev() {
            fs::rename(away(one), one).unwrap();
        }
        wait_until("the server recovers", || create(&server.client));
        drop(commands);
    });
}

fn wal_removed(env: &TestEnv) {
    let server = Program::new(&env.store.url()).serve(&FLAGS);
    let scenario = Scenario::new(env, &env.store.url(), client_of(&server));
    let [_, wal, shm] = files(&env.store.directory.path().join("tokenbridge.db"));
    scenario.run("WAL removed", || {
        // A command that opened the store now would create a second WAL next to the server's.
        let commands = scenario.commands.lock().unwrap();
        fs::remove_file(&wal).unwrap();
        fs::remove_file(&shm).unwrap();
        wait_until("the server has a WAL again", || {
            create(&server.client).filter(|_| wal.exists())
        });
        scenario.restart(&server);
        drop(commands);
    });
}

/// A store on a separate file system.
fn on_a_small_disk(env: &TestEnv, name: &str, fault: impl FnOnce(&Scenario<'_>, &Path)) {
    let small = SmallDisk::mount(env.store.directory.path(), 64).expect("it can be mounted");
    let place = PathBuf::from(&small.path);
    let url = format!("sqlite:{}/t.db", small.path);
    let server = Program::new(&url).serve_with(&FLAGS, &PASSWORD);
    let scenario = Scenario::new(env, &url, client_of(&server));
    scenario.run(name, || fault(&scenario, &place));
}

fn disk_full(env: &TestEnv) {
    on_a_small_disk(env, "disk full", |scenario, place| {
        let filler = place.join("filler");
        // The command fails because the disk is full.
        let output = format!("of={}", filler.display());
        let dd = Command::new("dd")
            .args(["if=/dev/zero", "bs=64k", &output])
            .output()
            .unwrap();
        assert!(!dd.status.success());
        scenario.wait_for_refusal(Operation::Create);
        fs::remove_file(filler).unwrap();
    });
}

/// The file is temporarily immutable, as after `chattr +i`.
fn database_file_immutable(env: &TestEnv) {
    on_a_small_disk(env, "file made immutable", |scenario, place| {
        let immutable = Immutable::make(files(&place.join("t.db")));
        // The server already has the files open, and may continue if the file system checks only at open; a command
        // opens them again.
        scenario.wait_for_refusal(Operation::Import);
        scenario.wait_for_answers();
        drop(immutable);
    });
}

struct Immutable([PathBuf; 3]);

impl Immutable {
    fn make(files: [PathBuf; 3]) -> Self {
        assert!(
            Command::new("chattr")
                .arg("+i")
                .args(&files)
                .status()
                .unwrap()
                .success()
        );
        Self(files)
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        let _ = Command::new("chattr").arg("-i").args(&self.0).status();
    }
}

/// A server on a separate PostgreSQL cluster, which the fault affects.
fn on_a_cluster(env: &TestEnv, name: &str, fault: impl FnOnce(&Scenario<'_>, &Cluster)) {
    let cluster = Cluster::private().expect("the suite has one");
    let url = cluster.url("postgres");
    let server = Program::new(&url).serve_with(&FLAGS, &PASSWORD);
    let scenario = Scenario::new(env, &url, client_of(&server));
    scenario.run(name, || fault(&scenario, &cluster));
}

fn database_killed(env: &TestEnv) {
    on_a_cluster(env, "database killed", |scenario, cluster| {
        cluster.crash();
        scenario.wait_for_answers();
        cluster.resume();
    });
}

fn database_frozen(env: &TestEnv) {
    on_a_cluster(env, "database frozen", |scenario, cluster| {
        cluster.signal("STOP");
        scenario.wait_for_answers();
        cluster.signal("CONT");
    });
}

fn connections_cut(env: &TestEnv) {
    on_a_cluster(env, "connections cut", |scenario, cluster| {
        for _ in 0..10 {
            let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()
                       AND backend_type = 'client backend'";
            store::execute(&cluster.url("postgres"), cut);
            scenario.wait_for_answers();
        }
    });
}
