//! Faults of stores: invalid, busy, and unreachable ones, and recovery.

pub mod disk;
pub mod files;

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    support::{
        TestEnv,
        client::{Auth, LEGACY, TOKENS},
        cluster::Cluster,
        program::Program,
        store::{self, StoreKind},
        wait_until,
    },
    tests,
};

tests![
    concurrent_servers_migrate_one_store,
    a_failed_write_is_rolled_back_completely,
];

tests![SQLITE_TESTS: a_wrong_url_is_rejected];

tests![
    POSTGRES_TESTS:
    the_server_recovers_from_a_store_crash,
    a_hanging_store_times_out,
    a_read_only_store_rejects_writes_until_it_recovers,
    database_connection_errors_are_reported,
    a_write_waits_for_a_locked_row,
    tls_to_the_store_is_verified,
];

fn a_wrong_url_is_rejected(env: &TestEnv) {
    let directory = env.store.directory.path();
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
        let output = crate::support::program::run_command(command, "");
        assert_eq!(output.exit_code, 2, "{url}: {output:?}");
        assert!(output.stderr.contains("--database-url"), "{output:?}");
    }
    let files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        files
            .iter()
            .all(|name| name.to_string_lossy().starts_with("tokenbridge.db")),
        "{files:?}"
    );
    for (url, reason) in [
        ("sqlite:/nowhere/at/all.db", "cannot be opened"),
        ("postgres://user:hunter2@127.0.0.1:1/x", "refused"),
    ] {
        let output = Program::new(url).run(&["migrate"]);
        assert_eq!((output.exit_code, output.stderr.lines().count()), (1, 1), "{output:?}");
        assert!(
            output.stderr.contains(reason) && !output.stderr.contains("hunter2"),
            "{output:?}"
        );
    }
    let output = Program::new(&format!("sqlite:{}/typo.db", directory.display())).run(&["token", "list"]);
    assert_eq!(output.exit_code, 1);
    assert!(
        output.stderr.contains("there is no database") && !directory.join("typo.db").exists(),
        "{output:?}"
    );
}

fn concurrent_servers_migrate_one_store(env: &TestEnv) {
    for _ in 0..20 {
        let url = env.store.fresh_url();
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
    }
}

fn the_server_recovers_from_a_store_crash(_: &TestEnv) {
    let cluster = Cluster::private().expect("the suite has one");
    let url = cluster.url("postgres");
    let server = Program::new(&url).serve_with(&[], &[("TOKENBRIDGE_ADMIN_PASSWORD", crate::support::ADMIN.1)]);
    let app = &server.client;
    let (id, value) = app.new_token(&json!({ "name": "kept" }));
    for _ in 0..2 {
        cluster.crash();
        let began = Instant::now();
        for response in [
            app.get(TOKENS, Auth::Key(&value)),
            app.get(LEGACY, Auth::Admin),
            app.post(TOKENS, Auth::Admin, &json!({ "name": "lost" })),
            app.get("/readyz", Auth::Anonymous),
        ] {
            let response = response.expect(503);
            // The legacy API has no semicolon in its messages.
            let message = response.message().replace(',', ";");
            assert_eq!(
                (response.header("retry-after"), message.as_str()),
                (Some("1"), "the store is unavailable; try again later")
            );
        }
        app.get("/healthz", Auth::Anonymous).expect(200);
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        cluster.resume();
        wait_until("the server recovers", || {
            (app.get("/readyz", Auth::Anonymous).status == 200).then_some(())
        });
        let listed = app.get(TOKENS, Auth::Key(&value)).expect(200).json();
        assert_eq!(
            (listed["results"].as_array().unwrap().len(), &listed["results"][0]["id"]),
            (1, &json!(id))
        );
        app.post(
            &format!("{TOKENS}/{id}"),
            Auth::Admin,
            &json!({ "name": "kept and changed" }),
        )
        .expect(200);
    }
    let log = server.log();
    assert!(
        log.contains("ERROR") && log.contains("the database is unreachable"),
        "{log}"
    );
}

/// A server that neither answers nor closes its connections, as on a frozen host, does not block requests for long.
fn a_hanging_store_times_out(_: &TestEnv) {
    let cluster = Cluster::private().expect("the suite has one");
    let password = [("TOKENBRIDGE_ADMIN_PASSWORD", crate::support::ADMIN.1)];
    let server = Program::new(&cluster.url("postgres")).serve_with(&["--database-timeout-seconds", "2"], &password);
    let app = &server.client;
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    cluster.signal("STOP");
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| app.get(TOKENS, Auth::Key(&value)).expect(503));
        }
    });
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    app.get("/healthz", Auth::Anonymous).expect(200);
    cluster.signal("CONT");
    wait_until("the server recovers", || {
        (app.get("/readyz", Auth::Anonymous).status == 200).then_some(())
    });
    app.get(TOKENS, Auth::Key(&value)).expect(200);
}

/// With several hosts, the server uses the primary. While there is none, it writes nothing.
fn a_read_only_store_rejects_writes_until_it_recovers(_: &TestEnv) {
    let cluster = Cluster::private().expect("the suite has one");
    let url = cluster
        .url("postgres")
        .replace("@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:");
    let password = [("TOKENBRIDGE_ADMIN_PASSWORD", crate::support::ADMIN.1)];
    let server = Program::new(&format!("{url}?target_session_attrs=read-write")).serve_with(&[], &password);
    let app = &server.client;
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
    wait_until("a write is refused", || {
        let response = app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &json!({ "name": "m" }));
        (response.status == 503).then(|| assert_eq!(response.header("retry-after"), Some("1")))
    });
    only_reads("off");
    wait_until("a write is taken again", || {
        let response = app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &json!({ "name": "after" }));
        (response.status == 200).then_some(())
    });
    assert_eq!(
        app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200).json()["name"],
        "after"
    );
}

fn database_connection_errors_are_reported(_: &TestEnv) {
    let url = Cluster::shared_url("postgres");
    for (wrong, message) in [
        (
            url.replace("tokenbridge@", "unknown@"),
            "role \"unknown\" does not exist",
        ),
        (
            url.replace("/postgres", "/nothing"),
            "database \"nothing\" does not exist",
        ),
        (url.replace("127.0.0.1", "nowhere.invalid"), "nowhere.invalid"),
        (format!("{url}?sslmode=sometimes"), "sslmode"),
    ] {
        let output = Program::new(&wrong).run(&["serve"]);
        assert_eq!((output.exit_code, output.stderr.lines().count()), (1, 1), "{output:?}");
        assert!(output.stderr.contains(message), "{output:?}");
    }
}

/// A change waits for a row that another transaction has locked, and then succeeds.
fn a_write_waits_for_a_locked_row(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "n", "permissions": [] }));
    let path = format!("{TOKENS}/{id}");
    let url = env.store.url();
    let held = "BEGIN; UPDATE tokens SET permissions = 'UserRead'; SELECT pg_sleep(1); COMMIT";
    let holder = std::thread::spawn(move || store::execute(&url, held));
    wait_until("the row is held", || {
        (env.store
            .texts("SELECT 'x' AS found FROM pg_stat_activity WHERE query LIKE 'BEGIN; UPDATE%'")
            .len()
            == 1)
            .then_some(())
    });
    let legacy = format!("{LEGACY}/{id}");
    let after = app.put(&legacy, Auth::Admin, &json!({ "read": true })).expect(200);
    holder.join().unwrap();
    assert_eq!(after.json()["read"], true);
    let permissions = app.get(&path, Auth::Admin).json()["permissions"].clone();
    assert_eq!(
        permissions,
        json!(["OrganizationAPITokenRead", "UserRead"]),
        "the other change is not lost"
    );
}

fn tls_to_the_store_is_verified(env: &TestEnv) {
    let cluster = Cluster::private().expect("the suite has one");
    let port = cluster.port;
    let certificate = env.store.directory.path().join("ca.crt");
    std::fs::copy(cluster.certificate(), &certificate).unwrap();
    let url = |host: &str, root: &str| {
        format!("postgres://tokenbridge@{host}:{port}/postgres?sslmode=verify-full&sslrootcert={root}")
    };
    let root = certificate.display().to_string();
    let migrated = Program::new(&url("localhost", &root)).run(&["migrate"]);
    assert_eq!(migrated.exit_code, 0, "{migrated:?}");
    for wrong in [url("127.0.0.1", &root), url("localhost", "/etc/hostname")] {
        let refused = Program::new(&wrong).run(&["migrate"]);
        assert_eq!(refused.exit_code, 1, "{refused:?}");
    }
}

fn a_failed_write_is_rolled_back_completely(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    // From now on the last step of every change fails.
    match env.kind {
        StoreKind::Sqlite => env.store.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'refused by the test'); END",
        ),
        StoreKind::Postgres => env.store.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused by the test'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION refuse()",
        ),
    }
    let path = format!("{TOKENS}/{id}");
    for response in [
        app.post(TOKENS, Auth::Admin, &json!({ "name": "m" })),
        app.post(LEGACY, Auth::Admin, &json!({ "name": "m" })),
        app.post(&path, Auth::Admin, &json!({ "name": "m", "permissions": [] })),
        app.post(
            &format!("{path}/rotate"),
            Auth::Admin,
            &json!({ "gracePeriodSeconds": 9 }),
        ),
        app.delete(&path, Auth::Admin),
    ] {
        assert!(!response.expect(503).text.contains("refused by the test"));
    }
    let listed = app.get(TOKENS, Auth::Key(&value)).expect(200).json();
    assert_eq!(
        (
            listed["results"].as_array().unwrap().len(),
            &listed["results"][0]["name"]
        ),
        (1, &json!("n"))
    );
    assert_eq!(listed["results"][0].get("rotatedAt"), None);
    assert_eq!(
        env.store.texts("SELECT count(*) || '' AS found FROM grace_values"),
        ["0"]
    );
}
