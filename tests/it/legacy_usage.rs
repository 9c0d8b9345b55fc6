//! The report on the use of the legacy API, and its verdict.

pub mod formats;
pub mod storage;

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    support::{
        TestApp, TestEnv,
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

fn stored_calls(env: &TestEnv) -> Vec<String> {
    env.store
        .texts("SELECT CAST(coalesce(sum(calls), 0) AS TEXT) AS found FROM legacy_calls")
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
