//! Stores that are wrong, busy, gone, or come back.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;
use serde_json::json;

use crate::{
    support::{
        Lab,
        client::{As, LEGACY, TOKENS},
        cluster::Cluster,
        eventually,
        program::Program,
        store::{self, Kind},
    },
    tests,
};

tests![
    two_servers_migrate_one_store_at_once,
    a_newer_schema_is_refused,
    a_failed_write_leaves_no_half
];
tests![OF_FILES: a_wrong_url_is_refused, a_file_that_another_program_locks, a_file_that_is_taken_away, a_removed_log_loses_nothing];
tests![OF_SMALL_DISKS: a_full_disk_loses_nothing, a_backup_to_a_full_disk_leaves_nothing];
tests![
    OF_SERVERS: a_store_that_goes_and_comes_back,
    a_store_that_hangs,
    a_store_that_only_reads_for_a_while,
    a_server_that_does_not_know_us,
    a_row_that_another_program_locks,
    tls_to_the_store_is_verified
];

fn a_wrong_url_is_refused(lab: &Lab) {
    let directory = lab.store.directory.path();
    for url in [
        "tokenbridge.db",
        "./x.db",
        "sqlite3:x.db",
        "postgre://x/y",
        "sqlite:",
        "sqlite::memory:",
        "sqlite:x.db?mode=ro",
    ] {
        let mut command = Program::new(url).command(&["migrate"]);
        command.current_dir(directory);
        let ended = crate::support::program::end(command, "");
        assert_eq!(ended.code, 2, "{url}: {ended:?}");
        assert!(ended.err.contains("--database-url"), "{ended:?}");
    }
    let made: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        made.iter()
            .all(|name| name.to_string_lossy().starts_with("tokenbridge.db")),
        "{made:?}"
    );
    for (url, reason) in [
        ("sqlite:/nowhere/at/all.db", "cannot be opened"),
        ("postgres://user:hunter2@127.0.0.1:1/x", "refused"),
    ] {
        let ended = Program::new(url).run(&["migrate"]);
        assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{ended:?}");
        assert!(
            ended.err.contains(reason) && !ended.err.contains("hunter2"),
            "{ended:?}"
        );
    }
    let ended = Program::new(&format!("sqlite:{}/typo.db", directory.display())).run(&["token", "list"]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.contains("there is no database") && !directory.join("typo.db").exists(),
        "{ended:?}"
    );
}

fn two_servers_migrate_one_store_at_once(lab: &Lab) {
    for _ in 0..20 {
        let url = lab.store.fresh_url();
        let program = Program::new(&url);
        let children: Vec<_> = (0..2).map(|_| program.command(&["migrate"]).spawn().unwrap()).collect();
        let outputs: Vec<_> = children
            .into_iter()
            .map(|child| child.wait_with_output().unwrap())
            .collect();
        assert!(outputs.iter().all(|output| output.status.success()), "{outputs:?}");
        let applied = outputs
            .iter()
            .filter(|output| String::from_utf8_lossy(&output.stderr).contains("applied migration"));
        assert_eq!(applied.count(), 1, "{outputs:?}");
        if lab.kind == Kind::Sqlite {
            for file in ["fresh.db", "fresh.db-wal", "fresh.db-shm"] {
                let _ = std::fs::remove_file(lab.store.directory.path().join(file));
            }
        }
    }
}

fn a_newer_schema_is_refused(lab: &Lab) {
    lab.store
        .execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')");
    let ended = Program::new(&lab.store.url()).run(&["serve"]);
    assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{ended:?}");
    assert!(
        ended.err.contains("newer tokenbridge") && ended.err.contains("9999"),
        "{ended:?}"
    );
}

fn a_store_that_goes_and_comes_back(_: &Lab) {
    let cluster = Cluster::private().expect("the suite has one");
    let url = cluster.url("postgres");
    let serving = Program::new(&url).serve_with(&[], &[("TOKENBRIDGE_ADMIN_PASSWORD", crate::support::ADMIN.1)]);
    let app = &serving.client;
    let (id, value) = app.new_token(&json!({ "name": "kept" }));
    for _ in 0..2 {
        cluster.crash();
        let began = Instant::now();
        for answer in [
            app.get(TOKENS, As::Key(&value)),
            app.get(LEGACY, As::Admin),
            app.post(TOKENS, As::Admin, &json!({ "name": "lost" })),
            app.get("/readyz", As::Nobody),
        ] {
            let answer = answer.expect(503);
            assert_eq!(
                (answer.header("retry-after"), answer.message().as_str()),
                (Some("1"), "the store is not available")
            );
        }
        app.get("/healthz", As::Nobody).expect(200);
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        cluster.resume();
        eventually("the server recovers", || {
            (app.get("/readyz", As::Nobody).status == 200).then_some(())
        });
        let listed = app.get(TOKENS, As::Key(&value)).expect(200).json();
        assert_eq!(
            (listed["results"].as_array().unwrap().len(), &listed["results"][0]["id"]),
            (1, &json!(id))
        );
        app.post(
            &format!("{TOKENS}/{id}"),
            As::Admin,
            &json!({ "name": "kept and changed" }),
        )
        .expect(200);
    }
    let log = serving.log();
    assert!(
        log.contains("ERROR") && log.contains("the store cannot be reached"),
        "{log}"
    );
}

fn a_file_that_another_program_locks(lab: &Lab) {
    let app = lab.app_with(&["--database-timeout-seconds", "2"]);
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    let path = format!("{TOKENS}/{id}");
    let mut other = store::sqlite(lab.store.url().trim_start_matches("sqlite:"));
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    app.get(&path, As::Admin).expect(200);
    app.get(&format!("{TOKENS}?state=never-used"), As::Admin).expect(200);
    assert!(began.elapsed() < Duration::from_secs(1), "reads go on");
    let refused = app.post(&path, As::Admin, &json!({ "name": "m" })).expect(503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    other.batch_execute("COMMIT").unwrap();
    app.post(&path, As::Admin, &json!({ "name": "after" })).expect(200);
    assert_eq!(app.get(&path, As::Admin).json()["name"], "after");
}

/// What would be written to a file that nobody finds any more is refused, and no other file is made in its place.
fn a_file_that_is_taken_away(lab: &Lab) {
    let app = lab.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let place = lab.store.directory.path();
    let away = place.join("away");
    std::fs::create_dir(&away).unwrap();
    let files = ["tokenbridge.db", "tokenbridge.db-wal", "tokenbridge.db-shm"];
    for file in files {
        std::fs::rename(place.join(file), away.join(file)).unwrap();
    }
    for answer in [
        app.post(TOKENS, As::Key(&value), &json!({ "name": "lost" })),
        app.get(TOKENS, As::Admin),
        app.get("/readyz", As::Nobody),
    ] {
        answer.expect(503);
    }
    let unready = app.get("/readyz", As::Nobody).expect(503);
    assert!(unready.message().contains("removed or replaced"), "{unready:?}");
    assert!(!place.join(files[0]).exists());
    for file in files {
        std::fs::rename(away.join(file), place.join(file)).unwrap();
    }
    eventually("the server recovers", || {
        (app.get("/readyz", As::Nobody).status == 200).then_some(())
    });
    assert_eq!(
        app.get(&format!("{TOKENS}/self"), As::Key(&value)).expect(200).json()["id"],
        id
    );
}

/// Writes of SQLite to an unlinked log are lost when the process exits.
fn a_removed_log_loses_nothing(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    let path = |suffix: &str| lab.store.directory.path().join(format!("tokenbridge.db{suffix}"));
    let mut made = Vec::new();
    for removed in [&["-wal", "-shm"][..], &["-wal"], &["-shm"]] {
        let serving = program.serve(&[]);
        let app = &serving.client;
        let mut create = || {
            let answer = app.post(TOKENS, As::Admin, &json!({ "name": "n" }));
            let made_it = answer.status == 200;
            if made_it {
                made.push(answer.json()["id"].clone());
            }
            made_it.then_some(())
        };
        create().expect("nothing has happened yet");
        for suffix in removed {
            std::fs::remove_file(path(suffix)).unwrap();
        }
        // At most, writes are refused briefly.
        eventually("a write is answered", &mut create);
        eventually("a write is answered", &mut create);
        assert!(path("-wal").exists() && path("-shm").exists());
        serving.signal("KILL");
        serving.wait();
    }
    let serving = program.serve(&[]);
    let listed = serving.client.get(LEGACY, As::Admin).expect(200).json();
    let kept: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["uuid"].clone())
        .collect();
    assert_eq!(kept, made);
    assert_eq!(program.run(&["check"]).code, 0);
}

/// A server that neither answers nor closes its connections, as on a frozen host, holds nobody for long.
fn a_store_that_hangs(_: &Lab) {
    let cluster = Cluster::private().expect("the suite has one");
    let password = [("TOKENBRIDGE_ADMIN_PASSWORD", crate::support::ADMIN.1)];
    let serving = Program::new(&cluster.url("postgres")).serve_with(&["--database-timeout-seconds", "2"], &password);
    let app = &serving.client;
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    cluster.signal("STOP");
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| app.get(TOKENS, As::Key(&value)).expect(503));
        }
    });
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    app.get("/healthz", As::Nobody).expect(200);
    cluster.signal("CONT");
    eventually("the server recovers", || {
        (app.get("/readyz", As::Nobody).status == 200).then_some(())
    });
    app.get(TOKENS, As::Key(&value)).expect(200);
}

/// Of several hosts, the one that is the primary is used; and while there is none, nothing is written.
fn a_store_that_only_reads_for_a_while(_: &Lab) {
    let cluster = Cluster::private().expect("the suite has one");
    let url = cluster
        .url("postgres")
        .replace("@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:");
    let password = [("TOKENBRIDGE_ADMIN_PASSWORD", crate::support::ADMIN.1)];
    let serving = Program::new(&format!("{url}?target_session_attrs=read-write")).serve_with(&[], &password);
    let app = &serving.client;
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let only_reads = |on: &str| {
        let statement = format!("ALTER SYSTEM SET default_transaction_read_only = {on}");
        let allowed = format!(
            "{}?options=-c%20default_transaction_read_only%3Doff",
            cluster.url("postgres")
        );
        store::execute(&allowed, &statement);
        store::execute(&allowed, "SELECT pg_reload_conf()");
    };
    only_reads("on");
    eventually("a write is refused", || {
        let answer = app.post(&format!("{TOKENS}/{id}"), As::Admin, &json!({ "name": "m" }));
        (answer.status == 503).then(|| assert_eq!(answer.header("retry-after"), Some("1")))
    });
    only_reads("off");
    eventually("a write is taken again", || {
        let answer = app.post(&format!("{TOKENS}/{id}"), As::Admin, &json!({ "name": "after" }));
        (answer.status == 200).then_some(())
    });
    assert_eq!(
        app.get(&format!("{TOKENS}/self"), As::Key(&value)).expect(200).json()["name"],
        "after"
    );
}

fn a_server_that_does_not_know_us(_: &Lab) {
    let url = Cluster::shared_url("postgres");
    for (wrong, told) in [
        (url.replace("tokenbridge@", "nobody@"), "role \"nobody\" does not exist"),
        (
            url.replace("/postgres", "/nothing"),
            "database \"nothing\" does not exist",
        ),
        (url.replace("127.0.0.1", "nowhere.invalid"), "nowhere.invalid"),
        (format!("{url}?sslmode=sometimes"), "sslmode"),
    ] {
        let ended = Program::new(&wrong).run(&["serve"]);
        assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{ended:?}");
        assert!(ended.err.contains(told), "{ended:?}");
    }
}

/// A change waits for a row that another transaction holds, and then it happens.
fn a_row_that_another_program_locks(lab: &Lab) {
    let app = lab.app();
    let (id, _) = app.new_token(&json!({ "name": "n", "permissions": [] }));
    let path = format!("{TOKENS}/{id}");
    let url = lab.store.url();
    let held = "BEGIN; UPDATE tokens SET permissions = 'UserRead'; SELECT pg_sleep(1); COMMIT";
    let holder = std::thread::spawn(move || store::execute(&url, held));
    eventually("the row is held", || {
        (lab.store
            .texts("SELECT 'x' AS found FROM pg_stat_activity WHERE query LIKE 'BEGIN; UPDATE%'")
            .len()
            == 1)
            .then_some(())
    });
    let legacy = format!("{LEGACY}/{id}");
    let after = app.put(&legacy, As::Admin, &json!({ "read": true })).expect(200);
    holder.join().unwrap();
    assert_eq!(after.json()["read"], true);
    let permissions = app.get(&path, As::Admin).json()["permissions"].clone();
    assert_eq!(
        permissions,
        json!(["OrganizationAPITokenRead", "UserRead"]),
        "the other change is not lost"
    );
}

fn a_full_disk_loses_nothing(lab: &Lab) {
    let small = SmallDisk::mount(lab.store.directory.path(), 2).expect("it can be mounted");
    let program = Program::new(&format!("sqlite:{}/t.db", small.place));
    let serving = program.serve_with(&[], &[("TOKENBRIDGE_ADMIN_PASSWORD", crate::support::ADMIN.1)]);
    let app = &serving.client;
    let mut made = 0;
    let refused = loop {
        let answer = app.post(TOKENS, As::Admin, &json!({ "name": "x".repeat(255) }));
        if answer.status != 200 {
            break answer.expect(503);
        }
        made += 1;
        assert!(made < 20_000, "the disk is never full");
    };
    assert_eq!(
        (refused.header("retry-after"), refused.message().as_str()),
        (Some("1"), "the store is not available")
    );
    app.get(TOKENS, As::Admin).expect(200);
    drop(serving);
    let serving = program.serve(&[]);
    let listed = serving.client.get(LEGACY, As::Admin).expect(200).json();
    assert_eq!(listed.as_array().unwrap().len(), made);
}

fn a_backup_to_a_full_disk_leaves_nothing(lab: &Lab) {
    let small = SmallDisk::mount(lab.store.directory.path(), 2).expect("it can be mounted");
    // The remaining space fits only part of the backup.
    std::fs::write(format!("{}/other", small.place), vec![0; 2 * 1024 * 1024 - 64 * 1024]).unwrap();
    let copy = format!("{}/copy.db", small.place);
    let ended = Program::new(&lab.store.url()).run(&["backup", &copy]);
    assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{ended:?}");
    assert!(ended.err.contains("full"), "{ended:?}");
    let left: Vec<_> = std::fs::read_dir(&small.place)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["other"]);
}

/// A file system in memory.
pub struct SmallDisk {
    pub place: String,
}

impl SmallDisk {
    pub fn can_be_mounted() -> bool {
        let directory = tempfile::TempDir::new().unwrap();
        Self::mount(directory.path(), 2).is_some()
    }

    pub fn mount(parent: &Path, megabytes: u32) -> Option<Self> {
        let place = parent.join("small");
        std::fs::create_dir(&place).unwrap();
        let place = place.display().to_string();
        let size = format!("size={megabytes}m");
        let mount = ["-t", "tmpfs", "-o", &size, "tmpfs", &place];
        let mounted = Command::new("mount").args(mount).stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self { place })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy", &self.place]).status();
    }
}

fn tls_to_the_store_is_verified(lab: &Lab) {
    let cluster = Cluster::private().expect("the suite has one");
    let port = cluster.port;
    let certificate = lab.store.directory.path().join("ca.crt");
    std::fs::copy(cluster.certificate(), &certificate).unwrap();
    let url = |host: &str, root: &str| {
        format!("postgres://tokenbridge@{host}:{port}/postgres?sslmode=verify-full&sslrootcert={root}")
    };
    let root = certificate.display().to_string();
    let migrated = Program::new(&url("localhost", &root)).run(&["migrate"]);
    assert_eq!(migrated.code, 0, "{migrated:?}");
    for wrong in [url("127.0.0.1", &root), url("localhost", "/etc/hostname")] {
        let refused = Program::new(&wrong).run(&["migrate"]);
        assert_eq!(refused.code, 1, "{refused:?}");
    }
}

fn a_failed_write_leaves_no_half(lab: &Lab) {
    let app = lab.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    // From now on the last step of every change fails.
    match lab.kind {
        Kind::Sqlite => lab.store.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'refused by the test'); END",
        ),
        Kind::Postgres => lab.store.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused by the test'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION refuse()",
        ),
    }
    let path = format!("{TOKENS}/{id}");
    for answer in [
        app.post(TOKENS, As::Admin, &json!({ "name": "m" })),
        app.post(LEGACY, As::Admin, &json!({ "name": "m" })),
        app.post(&path, As::Admin, &json!({ "name": "m", "permissions": [] })),
        app.post(
            &format!("{path}/rotate"),
            As::Admin,
            &json!({ "gracePeriodSeconds": 9 }),
        ),
        app.delete(&path, As::Admin),
    ] {
        assert!(!answer.expect(503).text.contains("refused by the test"));
    }
    let listed = app.get(TOKENS, As::Key(&value)).expect(200).json();
    assert_eq!(
        (
            listed["results"].as_array().unwrap().len(),
            &listed["results"][0]["name"]
        ),
        (1, &json!("n"))
    );
    assert_eq!(listed["results"][0].get("rotatedAt"), None);
    assert_eq!(
        lab.store.texts("SELECT count(*) || '' AS found FROM grace_values"),
        ["0"]
    );
}
