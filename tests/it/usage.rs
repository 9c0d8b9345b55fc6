//! The use of tokens by day, and the token of a value.

use std::time::Duration;

use serde_json::{Value, json};
use tokenbridge::domain::actor::{Channel, Origin};

use crate::{
    support::{
        READ, TestApp, TestEnv,
        client::{Auth, Response, TOKENS, string},
        program::Program,
        wait_until,
    },
    tests,
};

tests![
    uses_of_all_servers_are_added_up_by_day,
    refused_uses_are_counted_by_reason,
    only_callers_who_may_read_a_token_see_its_usage,
    old_uses_are_removed_except_the_last,
    usage_ends_with_its_token,
    uses_are_flushed_in_the_background,
    a_value_leads_to_its_token,
    only_callers_who_may_read_a_token_find_it_by_its_value,
    a_malformed_or_unknown_value_is_not_found,
    the_command_line_reads_a_value_from_standard_input,
];

const DAY: Duration = Duration::from_hours(24);
const UNKNOWN_VALUE: &str = "tbk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADCtZhg";

fn usage(app: &TestApp, id: &str) -> Value {
    app.get(&format!("{TOKENS}/{id}/usage"), Auth::Admin).expect(200).json()
}

fn use_at_gate(app: &TestApp, value: &str, client: &str) -> u16 {
    let headers = [("X-Original-Method", "GET"), ("X-Forwarded-For", client)];
    app.send("GET", "/verify", Auth::Key(value), &headers, "").status
}

fn lookup(app: &TestApp, auth: Auth<'_>, value: &str) -> Response {
    app.post(&format!("{TOKENS}/lookup"), auth, &json!({ "value": value }))
}

/// A server behind a proxy.
fn proxied(env: &TestEnv) -> TestApp {
    env.app_with(&["--trusted-proxy", "127.0.0.1"])
}

fn uses_of_all_servers_are_added_up_by_day(env: &TestEnv) {
    let (one, other) = (proxied(env), proxied(env));
    let (id, value) = one.new_token(&json!({ "name": "n", "permissions": [READ] }));
    assert_eq!(usage(&one, &id), json!({ "days": [], "refused": [] }));
    for app in [&one, &other, &one] {
        assert_eq!(use_at_gate(app, &value, "10.0.0.7"), 200);
    }
    env.clock.advance(DAY);
    one.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    // The server's own uses count at once; this use has a later time.
    env.clock.advance(Duration::from_secs(1));
    assert_eq!(use_at_gate(&one, &value, "2001:db8::7"), 200);
    let last = env.clock.seconds_from_now(0);
    other.stop();
    let expected = json!({
        "days": [{ "day": "2030-01-01", "uses": 3 }, { "day": "2030-01-02", "uses": 2 }],
        "lastUsedAt": last, "lastUsedFrom": "2001:db8::7", "lastUsedVia": "verify", "refused": [],
    });
    assert_eq!(usage(&one, &id), expected);
    one.stop();
    let app = proxied(env);
    assert_eq!(usage(&app, &id), expected, "what was in memory is written");
    // A server with earlier uses writes them later.
    env.clock.step_back(Duration::from_millis(500));
    assert_eq!(use_at_gate(&app, &value, "10.0.0.9"), 200);
    app.stop();
    let shown = usage(&env.app(), &id);
    assert_eq!(shown["days"][1], json!({ "day": "2030-01-02", "uses": 3 }));
    assert_eq!(shown["lastUsedFrom"], "2001:db8::7");
}

fn refused_uses_are_counted_by_reason(env: &TestEnv) {
    let app = proxied(env);
    let body = json!({
        "name": "n", "allowedCIDRBlocks": ["10.0.0.0/8"], "expiresAt": env.clock.seconds_from_now(60),
    });
    let (id, value) = app.new_token(&body);
    for client in ["192.0.2.1", "192.0.2.2"] {
        assert_eq!(use_at_gate(&app, &value, client), 401);
    }
    let refused_at = env.clock.seconds_from_now(0);
    let set_disabled = |disabled: bool| {
        let change = json!({ "disabled": disabled });
        app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &change).expect(200)
    };
    env.clock.advance(Duration::from_secs(1));
    set_disabled(true);
    for client in ["10.0.0.7", "192.0.2.1", "10.0.0.9"] {
        assert_eq!(use_at_gate(&app, &value, client), 401);
    }
    let disabled_at = env.clock.seconds_from_now(0);
    set_disabled(false);
    env.clock.advance(Duration::from_mins(2));
    assert_eq!(use_at_gate(&app, &value, "10.0.0.7"), 401);
    let expired_at = env.clock.seconds_from_now(0);
    let form = format!("token={value}&client_ip=10.0.0.8");
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let inactive = app.send("POST", "/introspect", Auth::Admin, &headers, &form);
    assert_eq!(inactive.expect(200).json(), json!({ "active": false }));
    let expected = json!({ "days": [], "refused": [
        { "reason": "disabled", "count": 3, "lastAt": disabled_at, "lastFrom": "10.0.0.9" },
        { "reason": "expired", "count": 2, "lastAt": expired_at, "lastFrom": "10.0.0.8" },
        { "reason": "address", "count": 2, "lastAt": refused_at, "lastFrom": "192.0.2.2" },
    ]});
    assert_eq!(usage(&app, &id), expected);
    app.stop();
    assert_eq!(usage(&env.app(), &id), expected);
}

fn only_callers_who_may_read_a_token_see_its_usage(env: &TestEnv) {
    let app = env.app();
    let (reader, reading) = app.new_token(&json!({ "name": "reader", "permissions": [READ] }));
    let (plain, own) = app.new_token(&json!({ "name": "plain", "permissions": [] }));
    let path = |id: &str| format!("{TOKENS}/{id}/usage");
    app.get(&path(&plain), Auth::Key(&reading)).expect(200);
    app.get(&path(&reader), Auth::Key(&own)).expect(403);
    app.get(&path(&plain), Auth::Key(&own)).expect(200);
    let shown = app.get(&path("self"), Auth::Key(&own)).expect(200).json();
    assert_eq!(shown["days"], json!([{ "day": "2030-01-01", "uses": 3 }]));
    app.get(&path("self"), Auth::Admin).expect(400);
    app.get(&path("7ba167aa-631c-4771-b197-fcb459cc7fd7"), Auth::Admin)
        .expect(404);
    app.get(&path(&plain), Auth::Anonymous).expect(401);
}

fn old_uses_are_removed_except_the_last(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let (idle, idle_value) = app.new_token(&json!({ "name": "idle" }));
    let use_both =
        || [&value, &idle_value].map(|value| app.get(&format!("{TOKENS}/self"), Auth::Key(value)).expect(200));
    use_both();
    env.clock.advance(DAY);
    use_both();
    let idle_at = env.clock.seconds_from_now(0);
    env.clock.advance(DAY * 89);
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    app.stop();
    let stored = || {
        env.store
            .texts("SELECT day || '' AS found FROM token_uses ORDER BY token_seq, day")
    };
    assert_eq!(stored(), ["21915", "21916", "22005", "21915", "21916"]);
    let service = env.service();
    actix_web::rt::System::new().block_on(async {
        service.begin_retention().await.unwrap();
        service.delete_old_uses().await.unwrap();
        assert_eq!(stored(), ["21916", "22005", "21916"]);
        env.clock.advance(DAY);
        service.delete_old_uses().await.unwrap();
    });
    assert_eq!(stored(), ["22005", "21916"]);
    let shown = usage(&env.app(), &idle);
    assert_eq!(shown["days"], json!([]));
    assert_eq!(
        (&shown["lastUsedAt"], &shown["lastUsedFrom"]),
        (&json!(idle_at), &json!("127.0.0.1"))
    );
    assert_eq!(usage(&env.app(), &id)["days"].as_array().unwrap().len(), 1);
}

fn usage_ends_with_its_token(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let stored = || {
        env.store
            .texts("SELECT count(*) || '' AS found FROM token_uses")
            .remove(0)
    };
    // Without a server, nothing is written in the background.
    let service = env.service();
    let origin = Origin {
        channel: Channel::ApiTokens,
        client: None,
    };
    actix_web::rt::System::new().block_on(async {
        service.authenticate_value(&value, origin).await.unwrap();
        service.flush().await.unwrap();
        assert_eq!(stored(), "1");
        // A use that is written after the deletion belongs to no token.
        service.authenticate_value(&value, origin).await.unwrap();
        app.delete(&format!("{TOKENS}/{id}"), Auth::Admin).expect(204);
        assert_eq!(stored(), "0");
        service.flush().await.unwrap();
        assert_eq!(stored(), "0");
    });
}

fn uses_are_flushed_in_the_background(env: &TestEnv) {
    let server = Program::new(&env.store.url()).serve(&[]);
    let (id, value) = server.client.new_token(&json!({ "name": "n" }));
    server
        .client
        .get(&format!("{TOKENS}/self"), Auth::Key(&value))
        .expect(200);
    wait_until("another process sees the use", || {
        let shown = Program::new(&env.store.url()).run(&["token", "usage", &id, "--output", "json"]);
        let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
        (shown["days"][0]["uses"] == 1 && shown["lastUsedVia"] == "api-tokens").then_some(())
    });
    let table = Program::new(&env.store.url()).run(&["token", "usage", &id]);
    assert!(
        table.stdout.starts_with("last used: ") && table.stdout.contains(" from 127.0.0.1 via api-tokens\nDAY"),
        "{table:?}"
    );
}

fn a_value_leads_to_its_token(env: &TestEnv) {
    let app = env.app();
    let (id, old) = app.new_token(&json!({ "name": "n", "expiresAt": env.clock.seconds_from_now(600) }));
    let path = format!("{TOKENS}/{id}");
    assert_eq!(
        lookup(&app, Auth::Admin, &old).expect(200).json(),
        app.get(&path, Auth::Admin).json()
    );
    let grace = json!({ "gracePeriodSeconds": 60 });
    let rotated = app
        .post(&format!("{path}/rotate"), Auth::Admin, &grace)
        .expect(200)
        .json();
    for value in [&old, &string(&rotated["value"])] {
        assert_eq!(lookup(&app, Auth::Admin, value).expect(200).json()["id"], id);
    }
    let disable = json!({ "disabled": true });
    let disabled = app.post(&path, Auth::Admin, &disable).expect(200).json();
    for value in [&old, &string(&rotated["value"])] {
        assert_eq!(lookup(&app, Auth::Admin, value).expect(200).json(), disabled);
    }
    env.clock.advance(Duration::from_mins(2));
    lookup(&app, Auth::Admin, &old).expect(404);
    env.clock.advance(Duration::from_mins(20));
    let expired = lookup(&app, Auth::Admin, &string(&rotated["value"])).expect(200).json();
    assert_eq!(expired["id"], id);
    assert_eq!(expired["lastUsedAt"], Value::Null, "a lookup is not a use");
    assert_eq!(usage(&app, &id), json!({ "days": [], "refused": [] }));
    app.delete(&path, Auth::Admin).expect(204);
    lookup(&app, Auth::Admin, &string(&rotated["value"])).expect(404);
}

fn only_callers_who_may_read_a_token_find_it_by_its_value(env: &TestEnv) {
    let app = env.app();
    let (_, reader) = app.new_token(&json!({ "name": "reader", "permissions": [READ] }));
    let (id, plain) = app.new_token(&json!({ "name": "plain", "permissions": [] }));
    assert_eq!(lookup(&app, Auth::Key(&reader), &plain).expect(200).json()["id"], id);
    lookup(&app, Auth::Key(&plain), &reader).expect(403);
    lookup(&app, Auth::Key(&plain), UNKNOWN_VALUE).expect(403);
    lookup(&app, Auth::Key(&plain), &plain).expect(200);
    lookup(&app, Auth::Anonymous, &plain).expect(401);
}

fn a_malformed_or_unknown_value_is_not_found(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    lookup(&app, Auth::Admin, UNKNOWN_VALUE).expect(404);
    for malformed in ["", "x", &id, &value[1..], &format!("{value} "), "correct horse"] {
        let message = lookup(&app, Auth::Admin, malformed).expect(400).message();
        assert_eq!(
            message,
            "value: this is not a token value; send all 53 characters, from tbk_ on"
        );
    }
    let path = format!("{TOKENS}/lookup");
    for body in [json!({}), json!({ "value": null }), json!({ "value": value, "id": id })] {
        app.post(&path, Auth::Admin, &body).expect(400);
    }
    assert_eq!(app.get(&path, Auth::Admin).expect(405).header("allow"), Some("POST"));
}

fn the_command_line_reads_a_value_from_standard_input(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let program = Program::new(&env.store.url());
    let run = |input: &str| program.run_with_input(&["token", "lookup", "--output", "json"], input);
    let found = run(&format!("{value}\r\n"));
    assert_eq!(found.exit_code, 0, "{found:?}");
    assert_eq!(serde_json::from_str::<Value>(&found.stdout).unwrap()["id"], id);
    let unknown = run(UNKNOWN_VALUE);
    assert_eq!(
        (unknown.exit_code, unknown.stderr.as_str()),
        (1, "tokenbridge: there is no such token\n")
    );
    assert_eq!(run("tbk_secret").exit_code, 2);
    assert!(!run("tbk_secret").stderr.contains("secret"));
}
