//! Events that the command line prints as they are written.

use std::{
    io::{BufRead, BufReader},
    process::Child,
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use diesel::{Connection, PgConnection, connection::SimpleConnection};
use serde_json::{Value, json};

use crate::{
    support::{
        TestEnv,
        client::{Auth, TOKENS},
        program::Program,
        store::{StoreKind, execute},
        wait_until,
    },
    tests,
};

tests![new_events_are_followed];
tests![POSTGRES_TESTS: a_late_commit_is_followed_in_order];

/// `tokenbridge audit --follow`, and the lines that it has printed.
struct Follower {
    child: Child,
    lines: Receiver<String>,
}

impl Follower {
    fn start(env: &TestEnv, arguments: &[&str]) -> Self {
        let program = Program::new(&env.store.url());
        let mut command = program.command(&[&["audit", "--follow", "--output", "json"], arguments].concat());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, lines }
    }

    #[track_caller]
    fn next(&self) -> Value {
        let line = self.lines.recv_timeout(Duration::from_secs(30)).expect("a line");
        serde_json::from_str(&line).unwrap()
    }

    fn prints_nothing_more(&self) {
        let line = self.lines.recv_timeout(Duration::from_secs(2));
        assert!(line.is_err(), "{line:?}");
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It would never end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn new_events_are_followed(env: &TestEnv) {
    let app = env.app();
    app.new_legacy_token(&json!({ "name": "before" }));
    let follower = Follower::start(env, &["--limit", "1", "--action", "token.created"]);
    assert_eq!(follower.next()["details"]["name"], "before");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let app = &app;
            scope.spawn(move || {
                for n in 0..25 {
                    app.new_legacy_token(&json!({ "name": format!("{thread} {n}") }));
                }
            });
        }
    });
    let ids: Vec<i64> = (0..100).map(|_| follower.next()["id"].as_i64().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    // The store goes away for a while, and comes back.
    let place = env.store.directory.path();
    let (url, away) = (env.store.url(), place.join("away"));
    let files = ["tokenbridge.db", "tokenbridge.db-wal", "tokenbridge.db-shm"];
    let let_in = |response: bool| {
        let (server, name) = url.rsplit_once('/').unwrap();
        let gone = if response { "false" } else { "true" };
        execute(
            &format!("{server}/postgres"),
            &format!(
                "ALTER DATABASE {name} ALLOW_CONNECTIONS {response};
                 SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {gone} AND datname = '{name}'"
            ),
        );
    };
    match env.kind {
        StoreKind::Sqlite => {
            std::fs::create_dir(&away).unwrap();
            for file in files {
                std::fs::rename(place.join(file), away.join(file)).unwrap();
            }
        }
        StoreKind::Postgres => let_in(false),
    }
    app.post(TOKENS, Auth::Admin, &json!({ "name": "lost" })).expect(503);
    follower.prints_nothing_more();
    match env.kind {
        StoreKind::Sqlite => {
            for file in files {
                std::fs::rename(away.join(file), place.join(file)).unwrap();
            }
        }
        StoreKind::Postgres => let_in(true),
    }
    wait_until("the server recovers", || {
        let created = app.post(TOKENS, Auth::Admin, &json!({ "name": "after" }));
        (created.status == 200).then_some(())
    });
    assert_eq!(follower.next()["details"]["name"], "after");
    follower.prints_nothing_more();
}

/// On PostgreSQL, an event can be committed after one with a larger number.
fn a_late_commit_is_followed_in_order(env: &TestEnv) {
    let follower = Follower::start(env, &["--action", "token.deleted"]);
    let insert = |conn: &mut PgConnection, details: &str| {
        conn.batch_execute(&format!(
            "INSERT INTO audit_events (at, channel, action, details) VALUES (1, 'cli', 'token.deleted', '\"{details}\"')"
        ))
        .unwrap();
    };
    let connect = || PgConnection::establish(&env.store.url()).unwrap();
    let (mut slow, mut quick, mut doomed) = (connect(), connect(), connect());
    insert(&mut quick, "first");
    assert_eq!(follower.next()["details"], "first");
    for conn in [&mut slow, &mut doomed] {
        conn.batch_execute("BEGIN").unwrap();
    }
    insert(&mut slow, "late");
    insert(&mut doomed, "never");
    insert(&mut quick, "early");
    doomed.batch_execute("ROLLBACK").unwrap();
    follower.prints_nothing_more();
    // Another writer is always active.
    let mut next = connect();
    next.batch_execute("BEGIN").unwrap();
    insert(&mut next, "still open");
    slow.batch_execute("COMMIT").unwrap();
    assert_eq!(follower.next()["details"], "late");
    assert_eq!(follower.next()["details"], "early");
    follower.prints_nothing_more();
    next.batch_execute("COMMIT").unwrap();
    assert_eq!(follower.next()["details"], "still open");
}
