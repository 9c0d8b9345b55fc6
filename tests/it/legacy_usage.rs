//! The report on the use of the legacy API, and its verdict.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    support::{
        ADMIN, TestApp, TestEnv,
        client::{Auth, LEGACY, LEGACY_PRE_15, TOKENS, string},
        program::Program,
        wait_until,
    },
    tests,
};

tests![
    every_dimension_of_a_call_is_stored,
    rejected_calls_are_counted_too,
    uuids_at_the_gate_are_counted,
    the_verdict_follows_the_watched_window,
    watched_hours_are_counted_over_restarts_and_servers,
    every_report_shows_the_current_phase,
    switching_off_is_not_advised_while_tokens_have_no_value,
    unflushed_calls_are_counted_once,
    a_restart_and_a_second_server_lose_nothing,
    a_failed_flush_loses_nothing,
    excess_callers_are_merged,
    calls_are_deleted_after_400_days,
    only_admins_may_read_the_usage,
    csv_is_safe_for_spreadsheets,
    tokens_without_a_value_are_listed,
    the_command_line_matches_the_api,
    the_last_call_is_a_metric_that_survives_a_restart,
];

const USAGE: &str = "/legacy-usage";
const DAY: Duration = Duration::from_hours(24);

fn usage(app: &TestApp) -> Value {
    app.get(USAGE, Auth::Admin).expect(200).json()
}

/// A call by a program from an address.
fn call(app: &TestApp, method: &str, path: &str, auth: Auth<'_>, (client, program): (&str, &str)) -> u16 {
    let headers = [("x-forwarded-for", client), ("user-agent", program)];
    app.send(method, path, auth, &headers, "").status
}

fn behind_proxy(env: &TestEnv) -> TestApp {
    env.app_with(&["--trusted-proxy", "127.0.0.0/8"])
}

fn every_dimension_of_a_call_is_stored(env: &TestEnv) {
    let app = behind_proxy(env);
    let curl = ("192.0.2.7", "curl/8");
    assert_eq!(call(&app, "GET", LEGACY, Auth::Admin, curl), 200);
    env.clock.advance(Duration::from_secs(5));
    assert_eq!(call(&app, "GET", LEGACY, Auth::Admin, curl), 200);
    let alike = &usage(&app)["callers"];
    let expected = json!([{
        "actor": { "id": "admin", "type": "user" }, "prefix": "/rest/agent-config/1.0", "method": "GET", "client": "192.0.2.7",
        "userAgent": "curl/8", "firstSeen": "2030-01-01T00:00:00Z", "lastSeen": "2030-01-01T00:00:05Z", "count": 2,
        "days": { "2030-01-01": 2 },
    }]);
    assert_eq!(alike, &expected);
    env.clock.advance(DAY);
    for (method, path, auth, from) in [
        ("GET", LEGACY_PRE_15, Auth::Admin, curl),
        ("GET", "/rest/agent-config/latest/tokens/", Auth::Admin, curl),
        ("GET", "/rest/agent/latest/tokens", Auth::Admin, curl),
        ("HEAD", LEGACY, Auth::Admin, curl),
        ("BREW", LEGACY, Auth::Admin, curl),
        ("GET", LEGACY, Auth::Admin, ("192.0.2.8", "curl/8")),
        ("GET", LEGACY, Auth::Admin, ("192.0.2.7", "wget")),
        ("GET", LEGACY, Auth::Anonymous, curl),
        ("GET", LEGACY, Auth::Admin, curl),
    ] {
        call(&app, method, path, auth, from);
    }
    // Other channels do not belong to the legacy API.
    assert_eq!(call(&app, "GET", TOKENS, Auth::Admin, curl), 200);
    assert_eq!(call(&app, "GET", "/rest/agents/1.0/tokens", Auth::Admin, curl), 404);
    let report = usage(&app);
    let callers = report["callers"].as_array().unwrap();
    assert_eq!(callers.len(), 9, "{report:#}");
    let methods: Vec<_> = callers.iter().map(|caller| string(&caller["method"])).collect();
    assert!(methods.contains(&"other".to_owned()) && methods.contains(&"HEAD".to_owned()));
    let first = callers.iter().find(|caller| caller["count"] == 3).unwrap();
    assert_eq!(first["days"], json!({ "2030-01-01": 2, "2030-01-02": 1 }));
    assert_eq!(report["calls"], json!({ "2030-01-01": 2, "2030-01-02": 9 }));
    assert_eq!(report["moreCallers"], 0);
    assert_eq!((&report["verdict"], &report["days"]), (&json!("in-use"), &json!(30)));
    // By caller, regardless of the channel and the program.
    assert_eq!(
        report["talkTo"][0],
        json!({ "actor": { "id": "admin", "type": "user" }, "client": "192.0.2.7", "count": 8, "lastSeen": "2030-01-02T00:00:05Z" })
    );
    assert_eq!(report["talkTo"].as_array().unwrap().len(), 3);
    // User agents are not verified.
    let odd = format!("\t evil {}", "x".repeat(300));
    call(&app, "GET", LEGACY, Auth::Admin, ("192.0.2.9", &odd));
    let report = usage(&app);
    let callers = report["callers"].as_array().unwrap();
    let kept = callers.iter().find(|caller| caller["client"] == "192.0.2.9").unwrap();
    let kept = string(&kept["userAgent"]);
    assert!(kept.starts_with("evil xxx") && kept.chars().count() <= 200, "{kept:?}");
}

fn rejected_calls_are_counted_too(env: &TestEnv) {
    let wrong = Auth::Basic("admin", "wrong");
    for (flags, method, auth, status) in [
        (&["--legacy", "read-only"][..], "POST", Auth::Admin, 403),
        (&["--legacy", "off"], "GET", Auth::Admin, 410),
        (&["--legacy", "on"], "HEAD", wrong, 401),
        (&["--legacy", "on"], "OPTIONS", Auth::Anonymous, 405),
        (
            &["--legacy-brownout", "2029-12-31T23:00Z/PT2H"],
            "PUT",
            Auth::Admin,
            503,
        ),
    ] {
        let app = env.app_with(flags);
        app.send(method, LEGACY, auth, &[], "").expect(status);
        app.stop();
    }
    let report = usage(&env.app());
    let callers = report["callers"].as_array().unwrap();
    assert_eq!(callers.len(), 5, "{report:#}");
    // Their credentials were not checked.
    assert!(callers.iter().all(|caller| caller.get("actor").is_none()));
    assert!(string(&report["message"]).contains("5 calls in the last 30 days"));
    assert!(string(&report["message"]).contains("an unauthenticated caller from 127.0.0.1"));
}

fn uuids_at_the_gate_are_counted(env: &TestEnv) {
    let app = env.app_with(&["--legacy-uuid-auth"]);
    let uuid = app.new_legacy_token(&json!({ "name": "n", "read": true }));
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    let pass = |uri: &str, auth| app.send("GET", "/verify", auth, &[("X-Original-URI", uri)], "").status;
    assert_eq!(pass(&format!("/x?uuid={uuid}"), Auth::Anonymous), 200);
    assert_eq!(
        pass("/x?uuid=d0ea6653-05e2-4d51-9d89-665cdfe86be6", Auth::Anonymous),
        401
    );
    // Neither a value nor a request without credentials counts.
    assert_eq!(pass("/x", Auth::Key(&value)), 200);
    assert_eq!(pass("/x", Auth::Anonymous), 401);
    let report = usage(&app);
    let gate = report["callers"].as_array().unwrap().iter();
    let gate: Vec<_> = gate.filter(|caller| caller["prefix"] == "/verify").collect();
    assert_eq!(gate.len(), 2, "{report:#}");
    let known = gate.iter().find(|caller| caller.get("actor").is_some()).unwrap();
    assert_eq!(
        (&known["actor"], &known["count"]),
        (&json!({ "id": uuid, "type": "api-token" }), &json!(1))
    );
    app.stop();
    // Without the flag, uuids are ignored.
    let app = env.app();
    let headers = [("X-Original-URI", "/x?uuid=d0ea6653-05e2-4d51-9d89-665cdfe86be6")];
    app.send("GET", "/verify", Auth::Anonymous, &headers, "").expect(401);
    assert_eq!(usage(&app)["calls"], json!({ "2030-01-01": 3 }));
}

fn the_verdict_follows_the_watched_window(env: &TestEnv) {
    let app = env.app();
    let report = usage(&app);
    assert_eq!(
        (&report["verdict"], &report["watchedDays"]),
        (&json!("not-observed-yet"), &json!(0))
    );
    assert_eq!((&report["callers"], &report["calls"]), (&json!([]), &json!({})));
    assert_eq!(
        report["message"],
        "The legacy API is on. It has not been observed for long enough: the server watched on 0 of the last 30 days."
    );
    watch(env, 30);
    let report = usage(&app);
    assert_eq!(
        (&report["verdict"], &report["watchedDays"]),
        (&json!("never-used"), &json!(30))
    );
    assert_eq!(
        report["message"],
        "The legacy API is on. No calls are known, and the server watched on 30 of the last 30 days. The legacy API can be switched off."
    );
    let long = app.get(&format!("{USAGE}?days=31"), Auth::Admin).expect(200).json();
    assert_eq!(
        (&long["verdict"], &long["watchedDays"]),
        (&json!("not-observed-yet"), &json!(30))
    );
    app.get(LEGACY, Auth::Admin).expect(200);
    let report = usage(&app);
    assert_eq!(report["verdict"], "in-use");
    assert_eq!(
        report["message"],
        "The legacy API is on. It is in use: 1 call in the last 30 days, the last at 2030-01-01T00:00:00Z by admin admin from \
         127.0.0.1. Contact admin admin from 127.0.0.1 first."
    );
    // The last day of the window, and the day after.
    env.clock.advance(DAY * 29);
    assert_eq!(usage(&app)["verdict"], "in-use");
    env.clock.advance(DAY);
    assert_eq!(usage(&app)["verdict"], "not-observed-yet");
    watch(env, 31);
    let report = usage(&app);
    assert_eq!(report["verdict"], "quiet");
    assert_eq!(
        report["message"],
        "The legacy API is on. It is quiet: no calls in the last 30 days, and the server watched on 30 of the last 30 days. The last \
         call was at 2030-01-01T00:00:00Z by admin admin from 127.0.0.1. The legacy API can be switched off."
    );
    assert_eq!((&report["talkTo"], &report["calls"]), (&json!([]), &json!({})));
    assert_eq!(
        (&report["callers"][0]["count"], &report["callers"][0]["days"]),
        (&json!(1), &json!({}))
    );
    let long = app.get(&format!("{USAGE}?days=31"), Auth::Admin).expect(200).json();
    assert_eq!((&long["verdict"], &long["days"]), (&json!("in-use"), &json!(31)));
    let today = app.get(&format!("{USAGE}?days=1"), Auth::Admin).expect(200).json();
    assert!(string(&today["message"]).contains("no calls today"));
    for wrong in ["days=0", "days=401", "days=x", "days=", "dayz=1"] {
        let response = app.get(&format!("{USAGE}?{wrong}"), Auth::Admin).expect(400);
        assert!(response.message().contains("day"), "{wrong}: {response:?}");
    }
}

/// Records that servers have watched without interruption for this many days.
fn watch(env: &TestEnv, days: i64) {
    let today = tokenbridge::domain::clock::Clock::now(&*env.clock).day().number();
    let rows: Vec<String> = (today - days..=today)
        .map(|day| format!("({day}, {})", (1 << 24) - 1))
        .collect();
    env.store.execute(&format!(
        "DELETE FROM legacy_watch; INSERT INTO legacy_watch (day, hours) VALUES {}",
        rows.join(",")
    ));
}

/// Returns the watched days, with the number of watched hours of each.
fn watched(env: &TestEnv) -> Vec<String> {
    env.store
        .texts("SELECT CAST(day AS TEXT) || ' ' || CAST(hours AS TEXT) AS found FROM legacy_watch ORDER BY day")
}

fn watched_hours_are_counted_over_restarts_and_servers(env: &TestEnv) {
    let minute = Duration::from_mins(1);
    let app = env.app();
    // Stopping flushes. No hour counts as watched before both clocks have agreed for a minute.
    app.stop();
    assert_eq!(watched(env), [""; 0]);
    let apps = [env.app(), env.app()];
    // The first flush of each server starts the minute.
    for app in &apps {
        app.get(LEGACY, Auth::Admin).expect(200);
    }
    wait_until("both have flushed", || (stored_calls(env) == ["2"]).then_some(()));
    env.clock.advance(minute);
    for app in apps {
        app.stop();
    }
    assert_eq!(watched(env), ["21915 1"]);
    // Another hour, another server, and a wall clock that jumps ten days ahead and back.
    let app = env.app();
    app.get(LEGACY, Auth::Admin).expect(200);
    wait_until("it has flushed", || (stored_calls(env) == ["3"]).then_some(()));
    env.clock.advance(Duration::from_hours(2));
    wait_until("the hour is written", || (watched(env) == ["21915 5"]).then_some(()));
    env.clock.step_forward(DAY * 10);
    app.get(LEGACY, Auth::Admin).expect(200);
    wait_until("it has flushed again", || (stored_calls(env) == ["4"]).then_some(()));
    app.stop();
    assert_eq!(watched(env), ["21915 5"]);
}

fn every_report_shows_the_current_phase(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let line = || program.run(&["legacy-usage"]).stdout.lines().last().unwrap().to_owned();
    for (flags, phase, message) in [
        (&[][..], json!({ "state": "on" }), "The legacy API is on. "),
        (
            &["--legacy", "read-only"],
            json!({ "state": "read-only" }),
            "The legacy API is read-only. ",
        ),
        (
            &["--legacy", "off"],
            json!({ "state": "off" }),
            "The legacy API is off. ",
        ),
    ] {
        let app = env.app_with(flags);
        let report = usage(&app);
        assert_eq!(report["phase"], phase);
        assert!(string(&report["message"]).starts_with(message), "{report}");
        // The CLI reports what the most recently started server recorded.
        assert!(line().starts_with(message), "{}", line());
        app.stop();
    }
    // Close to the real time, which the CLI uses.
    let brownouts = "2020-01-01T00:00Z/PT1H,2029-12-31T23:00Z/PT2H";
    let app = env.app_with(&["--legacy-brownout", brownouts]);
    let report = usage(&app);
    assert_eq!(
        report["phase"],
        json!({ "state": "brownout", "until": "2030-01-01T01:00:00Z" })
    );
    let message = "The legacy API is closed by a brownout until 2030-01-01T01:00:00Z. ";
    assert!(string(&report["message"]).starts_with(message), "{report}");
    env.clock.advance(Duration::from_hours(1));
    assert_eq!(usage(&app)["phase"], json!({ "state": "on" }));
}

fn switching_off_is_not_advised_while_tokens_have_no_value(env: &TestEnv) {
    let app = env.app();
    watch(env, 30);
    let program = Program::new(&env.store.url());
    let file = env.store.directory.path().join("tokens.json");
    let tokens: Vec<Value> = (0..15)
        .map(|number| json!({ "uuid": format!("d0ea6653-05e2-4d51-9d89-6650000000{number:02}"), "name": "n", "read": true, "change": false }))
        .collect();
    std::fs::write(&file, json!(tokens).to_string()).unwrap();
    assert_eq!(program.run(&["import", file.to_str().unwrap()]).exit_code, 0);
    let report = usage(&app);
    assert_eq!(report["verdict"], "never-used");
    let message = string(&report["message"]);
    assert!(
        message.ends_with(" 15 tokens have no value yet: rotate them before the legacy API is switched off."),
        "{message}"
    );
    assert!(!message.contains("can be switched off"), "{message}");
}

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

fn stored_calls(env: &TestEnv) -> Vec<String> {
    env.store
        .texts("SELECT CAST(coalesce(sum(calls), 0) AS TEXT) AS found FROM legacy_calls")
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

fn only_admins_may_read_the_usage(env: &TestEnv) {
    let app = env.app();
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    for auth in Auth::except_admin(&value) {
        let refused = app.get(USAGE, auth).expect(401);
        assert!(refused.header("www-authenticate").unwrap().starts_with("Basic "));
    }
    app.send("HEAD", USAGE, Auth::Admin, &[], "").expect(200);
    let refused = app.post(USAGE, Auth::Admin, &json!({})).expect(405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
    // Requesting the report does not count as a use of the legacy API.
    assert_eq!(usage(&app)["callers"], json!([]));
}

fn csv_is_safe_for_spreadsheets(env: &TestEnv) {
    let app = behind_proxy(env);
    for program in ["=HYPERLINK(\"http://x\",1)", "+1", "@SUM", "-1", "plain, \"quoted\""] {
        call(&app, "GET", LEGACY, Auth::Admin, ("192.0.2.7", program));
    }
    let csv = app
        .send(
            "GET",
            USAGE,
            Auth::Admin,
            &[("accept", "text/csv, application/json;q=0.5")],
            "",
        )
        .expect(200);
    assert_eq!(
        csv.header("content-type"),
        Some("text/csv; charset=utf-8; header=present")
    );
    let mut lines: Vec<&str> = csv.text.split("\r\n").collect();
    assert_eq!(lines.pop(), Some(""));
    assert_eq!(
        lines.remove(0),
        "actorType,actorId,prefix,method,client,userAgent,firstSeen,lastSeen,count"
    );
    let line = |program: &str| {
        format!("user,admin,/rest/agent-config/1.0,GET,192.0.2.7,{program},2030-01-01T00:00:00Z,2030-01-01T00:00:00Z,1")
    };
    lines.sort_unstable();
    let mut expected = [
        "\"'=HYPERLINK(\"\"http://x\"\",1)\"",
        "\"'+1\"",
        "\"'@SUM\"",
        "\"'-1\"",
        "\"plain, \"\"quoted\"\"\"",
    ]
    .map(line);
    expected.sort_unstable();
    assert_eq!(lines, expected);
    for accept in ["application/json, text/csv", "*/*", "text/csv;q=0.1, application/json"] {
        let json = app
            .send("GET", USAGE, Auth::Admin, &[("accept", accept)], "")
            .expect(200);
        assert_eq!(json.header("content-type"), Some("application/json"), "{accept}");
    }
    app.send("GET", USAGE, Auth::Admin, &[("accept", "text/html")], "")
        .expect(406);
}

fn tokens_without_a_value_are_listed(env: &TestEnv) {
    let app = env.app_with(&["--legacy-uuid-auth"]);
    app.new_token(&json!({ "name": "new" }));
    let used = app.new_legacy_token(&json!({ "name": "used", "read": true }));
    let idle = app.new_legacy_token(&json!({ "name": "idle" }));
    let uri = format!("/x?uuid={used}");
    app.send("GET", "/verify", Auth::Anonymous, &[("X-Original-URI", &uri)], "")
        .expect(200);
    assert_eq!(
        usage(&app)["tokensWithoutValue"],
        json!({ "count": 2, "tokens": [
            { "id": used, "name": "used", "lastUsedAt": "2030-01-01T00:00:00Z" },
            { "id": idle, "name": "idle" },
        ] })
    );
    app.post(&format!("{TOKENS}/{used}/rotate"), Auth::Admin, &json!({}))
        .expect(200);
    for number in 0..110 {
        app.new_legacy_token(&json!({ "name": number.to_string() }));
    }
    let tokens = &usage(&app)["tokensWithoutValue"];
    assert_eq!(
        (&tokens["count"], tokens["tokens"].as_array().unwrap().len()),
        (&json!(111), 100)
    );
}

fn the_command_line_matches_the_api(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let table = program.run(&["legacy-usage"]);
    assert_eq!(
        (table.exit_code, table.stdout.as_str()),
        (
            0,
            "Every token has a value.\nThe legacy API has not been observed for long enough: the server watched on 0 of the last 30 days.\n"
        ),
        "{table:?}"
    );
    let server = program.serve(&[]);
    server.client.new_legacy_token(&json!({ "name": "n" }));
    let headers = [("user-agent", "=curl")];
    server
        .client
        .send("GET", LEGACY_PRE_15, Auth::Admin, &headers, "")
        .expect(200);
    server.signal("TERM");
    assert_eq!(server.wait().0, Some(0));
    let table = program.run(&["legacy-usage", "--days", "7"]);
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert!(lines[0].starts_with("LAST SEEN") && lines.len() == 5, "{table:?}");
    assert!(
        table.stdout.contains("user admin") && table.stdout.contains("=curl"),
        "{table:?}"
    );
    assert!(lines[3].starts_with("1 token has no value yet"), "{table:?}");
    assert!(
        lines[4].starts_with("The legacy API is on. It is in use: 2 calls in the last 7 days, "),
        "{table:?}"
    );
    let json: Value = serde_json::from_str(&program.run(&["legacy-usage", "--output", "json"]).stdout).unwrap();
    assert_eq!(
        (&json["verdict"], json["callers"].as_array().unwrap().len()),
        (&json!("in-use"), 2)
    );
    let csv = program.run(&["legacy-usage", "--output", "csv"]);
    assert!(
        csv.stdout.contains(",\"'=curl\",") && csv.stdout.lines().count() == 3,
        "{csv:?}"
    );
    let wrong = program.run(&["legacy-usage", "--days", "401"]);
    assert!(
        wrong.exit_code == 2 && wrong.stderr.contains("from 1 to 400"),
        "{wrong:?}"
    );
}

fn the_last_call_is_a_metric_that_survives_a_restart(env: &TestEnv) {
    let last = |app: &TestApp, prefix: &str| {
        let series = format!("tokenbridge_legacy_last_request_timestamp_seconds{{prefix=\"{prefix}\"}} ");
        let text = app.get("/metrics", Auth::Anonymous).expect(200).text;
        text.lines()
            .find_map(|line| line.strip_prefix(&series).map(str::to_owned))
    };
    let app = env.app();
    let prefix = "/rest/agent/1.0";
    assert_eq!(last(&app, prefix), None);
    let metrics = app.get("/metrics", Auth::Anonymous).expect(200).text;
    for line in [
        "tokenbridge_legacy_watched_seconds 0",
        "tokenbridge_legacy_verdict{verdict=\"not-observed-yet\"} 1",
        "tokenbridge_legacy_verdict{verdict=\"in-use\"} 0",
    ] {
        assert!(metrics.contains(&format!("{line}\n")), "{line} in {metrics}");
    }
    app.get(LEGACY_PRE_15, Auth::Basic(ADMIN.0, "wrong")).expect(401);
    assert_eq!(last(&app, prefix).as_deref(), Some("1893456000"));
    env.clock.advance(Duration::from_mins(1));
    app.get(LEGACY_PRE_15, Auth::Admin).expect(200);
    assert_eq!(last(&app, prefix).as_deref(), Some("1893456060"));
    app.stop();
    env.clock.advance(DAY);
    let app = env.app();
    assert_eq!(last(&app, prefix).as_deref(), Some("1893456060"));
    assert_eq!(last(&app, "/rest/agent-config/1.0"), None);
    let metrics = app.get("/metrics", Auth::Anonymous).expect(200).text;
    assert!(
        metrics.contains("tokenbridge_legacy_verdict{verdict=\"in-use\"} 1\n"),
        "{metrics}"
    );
}
