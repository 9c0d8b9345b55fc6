//! How calls are kept: flushed, merged, and deleted.

use serde_json::{Value, json};

use super::{DAY, USAGE, call, stored_calls, usage};
use crate::{
    support::{
        TestApp, TestEnv,
        client::{Auth, LEGACY, LEGACY_PRE_15},
        program::Program,
        wait_until,
    },
    tests,
};

tests![
    unflushed_calls_are_counted_once,
    a_restart_and_a_second_server_lose_nothing,
    a_failed_flush_loses_nothing,
    excess_callers_are_merged,
    calls_are_deleted_after_400_days,
];

/// While calls are recorded and flushed concurrently, every later report contains each call exactly once.
fn unflushed_calls_are_counted_once(env: &TestEnv) {
    let app = env.app();
    for number in 1..=300 {
        app.get(LEGACY, Auth::Admin).expect(200);
        if number % 3 == 0 {
            assert_eq!(usage(&app)["callers"][0]["count"], number);
        }
    }
}

fn a_restart_and_a_second_server_lose_nothing(env: &TestEnv) {
    for _ in 0..2 {
        let apps = [env.app(), env.app()];
        for app in &apps {
            for _ in 0..5 {
                app.get(LEGACY, Auth::Admin).expect(200);
                app.get(LEGACY, Auth::Anonymous).expect(401);
            }
        }
        // Both flush the same callers, which are new the first time.
        std::thread::scope(|scope| {
            for app in apps {
                scope.spawn(|| app.stop());
            }
        });
    }
    assert_eq!(stored_calls(env), ["40"]);
    let report = usage(&env.app());
    let counts: Vec<_> = report["callers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|caller| &caller["count"])
        .collect();
    assert_eq!(counts, [20, 20], "{report:#}");
}

fn a_failed_flush_loses_nothing(env: &TestEnv) {
    let server = Program::new(&env.store.url()).serve(&[]);
    let app = &server.client;
    app.get(LEGACY, Auth::Admin).expect(200);
    wait_until("the first call is written", || {
        (stored_calls(env) == ["1"]).then_some(())
    });
    env.store.execute("ALTER TABLE legacy_calls RENAME TO elsewhere");
    app.get(LEGACY, Auth::Admin).expect(200);
    app.get(USAGE, Auth::Admin).expect(503);
    wait_until("flushes fail", || {
        let failures = server.log().matches("the write-behind flush failed").count();
        (failures >= 2).then_some(())
    });
    app.get(LEGACY, Auth::Admin).expect(200);
    env.store.execute("ALTER TABLE elsewhere RENAME TO legacy_calls");
    let report = app.get(USAGE, Auth::Admin).expect(200).json();
    assert_eq!(report["callers"][0]["count"], 3);
    server.signal("TERM");
    assert_eq!(server.wait().0, Some(0));
    assert_eq!(stored_calls(env), ["3"]);
}

/// Fills the table with this many callers, authenticated or not.
fn fill(env: &TestEnv, callers: std::ops::Range<u32>, actor: &str) {
    let rows: Vec<String> = callers
        .map(|number| {
            format!("('/rest/agent/1.0', 'GET', '{actor}', '{actor}', '192.0.2.1', 'program {number}', 0, 0, 1)")
        })
        .collect();
    env.store.execute(&format!(
        "INSERT INTO legacy_callers (prefix, method, actor_type, actor_id, client, user_agent, first_seen, last_seen, total) VALUES {}",
        rows.join(",")
    ));
}

fn excess_callers_are_merged(env: &TestEnv) {
    let others = |app: &TestApp| -> Vec<Value> {
        let report = usage(app);
        let callers = report["callers"].as_array().unwrap().iter();
        callers.filter(|caller| caller["client"] == "other").cloned().collect()
    };
    // Retention would remove callers that were last seen in 1970.
    let recent = |env: &TestEnv| {
        let now = tokenbridge::domain::clock::Clock::now(&*env.clock).micros();
        env.store.execute(&format!(
            "UPDATE legacy_callers SET first_seen = {now}, last_seen = {now} WHERE last_seen = 0"
        ));
    };
    fill(env, 0..1999, "");
    recent(env);
    let app = env.app();
    for program in ["one", "two", "three", "one"] {
        call(&app, "GET", LEGACY_PRE_15, Auth::Anonymous, ("", program));
    }
    // Capacity is reserved for authenticated callers.
    call(&app, "GET", LEGACY_PRE_15, Auth::Admin, ("", "four"));
    app.stop();
    let app = env.app();
    let folded = others(&app);
    assert_eq!(folded.len(), 1, "{folded:?}");
    assert_eq!(
        (&folded[0]["count"], &folded[0]["prefix"]),
        (&json!(2), &json!("/rest/agent/1.0"))
    );
    assert!(folded[0].get("actor").is_none() && folded[0].get("userAgent").is_none());
    assert_eq!(usage(&app)["moreCallers"], 2002 - 1000);
    app.stop();
    // At most 10,000 callers in all.
    fill(env, 2000..10_000 - 1, "user");
    recent(env);
    let app = env.app();
    call(&app, "GET", LEGACY, Auth::Admin, ("", "five"));
    call(&app, "PUT", LEGACY, Auth::Admin, ("", "six"));
    app.stop();
    let app = env.app();
    let folded = others(&app);
    assert_eq!(folded.len(), 3, "{folded:?}");
    assert_eq!(
        folded
            .iter()
            .map(|caller| caller["count"].as_u64().unwrap())
            .sum::<u64>(),
        4
    );
    assert_eq!(usage(&app)["moreCallers"], 10_003 - 1000);
    let csv = app
        .send("GET", USAGE, Auth::Admin, &[("accept", "text/csv")], "")
        .expect(200);
    assert_eq!(csv.text.lines().count(), 10_004);
}

fn calls_are_deleted_after_400_days(env: &TestEnv) {
    let rows: Vec<String> = (0..2500)
        .map(|number| format!("('/rest/agent/1.0', 'GET', '', '', '192.0.2.1', 'program {number}', 0, 0, 1)"))
        .collect();
    env.store.execute(&format!(
        "INSERT INTO legacy_callers (prefix, method, actor_type, actor_id, client, user_agent, first_seen, last_seen, total) VALUES {};
         INSERT INTO legacy_calls (caller_seq, day, calls) SELECT seq, 0, 1 FROM legacy_callers",
        rows.join(",")
    ));
    let count = || {
        env.store.texts(
            "SELECT CAST((SELECT count(*) FROM legacy_callers) AS TEXT) || ' ' || CAST((SELECT count(*) FROM legacy_calls) AS TEXT) AS found",
        )
    };
    let app = env.app();
    app.get(LEGACY, Auth::Admin).expect(200);
    wait_until("what is old is gone, batch by batch", || {
        (count() == ["1 1"]).then_some(())
    });
    // At startup, a server trusts only the time up to the newest record; it has not seen later time pass.
    app.stop();
    let app = env.app();
    env.clock.advance(DAY * 400);
    app.get(LEGACY, Auth::Anonymous).expect(401);
    wait_until("the new call is written", || (count() == ["2 2"]).then_some(()));
    assert_eq!(usage(&app)["callers"].as_array().unwrap().len(), 2);
    env.clock.advance(DAY);
    wait_until("the first call is deleted", || (count() == ["1 1"]).then_some(()));
    assert_eq!(usage(&app)["callers"][0].get("actor"), None);
}
