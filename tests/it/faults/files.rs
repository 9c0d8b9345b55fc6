//! Changes of the SQLite file under a running server.

use diesel::connection::SimpleConnection;
use serde_json::json;

use crate::{
    support::{
        TestEnv,
        client::{Auth, LEGACY, TOKENS},
        program::Program,
        store, wait_until,
    },
    tests,
};

tests![
    SQLITE_TESTS:
    a_locked_file_blocks_only_writes,
    a_moved_database_file_stops_service_until_it_returns,
    a_removed_wal_loses_no_writes,
];

fn a_locked_file_blocks_only_writes(env: &TestEnv) {
    let app = env.app_with(&["--database-timeout-seconds", "2"]);
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    let path = format!("{TOKENS}/{id}");
    let mut other = store::sqlite(env.store.url().trim_start_matches("sqlite:"));
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    app.get(&path, Auth::Admin).expect(200);
    app.get(&format!("{TOKENS}?state=never-used"), Auth::Admin).expect(200);
    let refused = app.post(&path, Auth::Admin, &json!({ "name": "m" })).expect(503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    other.batch_execute("COMMIT").unwrap();
    app.post(&path, Auth::Admin, &json!({ "name": "after" })).expect(200);
    assert_eq!(app.get(&path, Auth::Admin).json()["name"], "after");
}

/// Writes to a file that was removed are refused, and no other file is created in its place.
fn a_moved_database_file_stops_service_until_it_returns(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let place = env.store.directory.path();
    let away = place.join("away");
    std::fs::create_dir(&away).unwrap();
    let files = ["tokenbridge.db", "tokenbridge.db-wal", "tokenbridge.db-shm"];
    for file in files {
        std::fs::rename(place.join(file), away.join(file)).unwrap();
    }
    for response in [
        app.post(TOKENS, Auth::Key(&value), &json!({ "name": "lost" })),
        app.get(TOKENS, Auth::Admin),
        app.get("/readyz", Auth::Anonymous),
    ] {
        response.expect(503);
    }
    let unready = app.get("/readyz", Auth::Anonymous).expect(503);
    assert!(unready.message().contains("removed or replaced"), "{unready:?}");
    assert!(!place.join(files[0]).exists());
    for file in files {
        std::fs::rename(away.join(file), place.join(file)).unwrap();
    }
    wait_until("the server recovers", || {
        (app.get("/readyz", Auth::Anonymous).status == 200).then_some(())
    });
    assert_eq!(
        app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200).json()["id"],
        id
    );
}

/// SQLite's writes to an unlinked log are lost when the process exits.
fn a_removed_wal_loses_no_writes(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let path = |suffix: &str| env.store.directory.path().join(format!("tokenbridge.db{suffix}"));
    let mut acknowledged = Vec::new();
    for removed in [&["-wal", "-shm"][..], &["-wal"], &["-shm"]] {
        let server = program.serve(&[]);
        let app = &server.client;
        let mut create = || {
            let response = app.post(TOKENS, Auth::Admin, &json!({ "name": "n" }));
            let made_it = response.status == 200;
            if made_it {
                acknowledged.push(response.json()["id"].clone());
            }
            made_it.then_some(())
        };
        create().expect("nothing has happened yet");
        for suffix in removed {
            std::fs::remove_file(path(suffix)).unwrap();
        }
        // At most, writes are refused briefly.
        wait_until("a write is answered", &mut create);
        wait_until("a write is answered", &mut create);
        assert!(path("-wal").exists() && path("-shm").exists());
        server.signal("KILL");
        server.wait();
    }
    let server = program.serve(&[]);
    let listed = server.client.get(LEGACY, Auth::Admin).expect(200).json();
    let kept: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["uuid"].clone())
        .collect();
    assert_eq!(kept, acknowledged);
    assert_eq!(program.run(&["check"]).exit_code, 0);
}
