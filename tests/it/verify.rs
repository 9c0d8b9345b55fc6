//! The gate for other services.

use std::time::Duration;

use serde_json::json;

use crate::{
    support::{
        MODIFY, READ, TestApp, TestEnv,
        client::{Auth, Response, TOKENS, string},
        wait_until,
    },
    tests,
};

tests![
    the_original_method_selects_the_required_permission,
    required_permissions_override_the_method,
    a_misconfigured_gate_rejects_every_request,
    the_path_below_the_gate_is_that_of_the_original_request,
    the_query_below_the_gate_never_requires_a_permission,
    clients_cannot_forge_the_original_method,
    responses_identify_the_token,
    responses_have_no_body,
    uuids_are_accepted_only_where_they_are_enabled,
    a_uuid_is_rejected_once_the_token_has_a_value,
    ambiguous_uuids_are_rejected,
    the_gate_enforces_networks_and_expiry,
    a_revoked_token_is_rejected_at_the_gate,
    every_accepted_request_counts_as_a_use,
];

const VERIFY: &str = "/verify";

fn ask(app: &TestApp, auth: Auth<'_>, headers: &[(&str, &str)]) -> Response {
    app.send("GET", VERIFY, auth, headers, "")
}

fn value_with(app: &TestApp, permissions: &[&str]) -> String {
    app.new_token(&json!({ "name": "n", "permissions": permissions })).1
}

fn ask_with_uuid(app: &TestApp, uuid: &str, method: &str) -> Response {
    let uri = format!("/rest/agents/1.0/7/state/text?uuid={uuid}");
    let headers = [("X-Original-URI", uri.as_str()), ("X-Original-Method", method)];
    ask(app, Auth::Anonymous, &headers)
}

fn the_original_method_selects_the_required_permission(env: &TestEnv) {
    let app = env.app();
    let none = value_with(&app, &["AlertRead"]);
    let reads = value_with(&app, &[READ]);
    let changes = value_with(&app, &[MODIFY]);
    let both = value_with(&app, &[READ, MODIFY]);
    for header in ["X-Original-Method", "X-Forwarded-Method"] {
        for (method, safe) in [
            ("GET", true),
            ("HEAD", true),
            ("OPTIONS", true),
            ("POST", false),
            ("PUT", false),
            ("DELETE", false),
            ("PATCH", false),
            ("get", false),
            ("", false),
            ("PROPFIND", false),
        ] {
            let expected = [
                (&none, 403),
                (&reads, if safe { 200 } else { 403 }),
                (&changes, 403),
                (&both, 200),
            ];
            for (value, status) in expected {
                let got = ask(&app, Auth::Key(value), &[(header, method)]);
                assert_eq!(got.status, status, "{header}: {method}");
                let got = ask(&app, Auth::Bearer(value), &[(header, method)]);
                assert_eq!(got.status, status, "{header}: {method}");
            }
        }
    }
    for (method, status) in [("GET", 200), ("HEAD", 200), ("POST", 403), ("QUERY", 403)] {
        let got = app.send(method, VERIFY, Auth::Key(&reads), &[], "");
        assert_eq!(got.status, status, "without a header: {method}");
    }
}

fn required_permissions_override_the_method(env: &TestEnv) {
    let app = env.app();
    let value = value_with(&app, &["AlertRead", "RuleRead"]);
    for (query, status) in [
        ("require=AlertRead", 200),
        ("require=AlertRead&require=RuleRead", 200),
        ("require=AlertRead&require=RuleModify", 403),
        ("require=RuleModify", 403),
    ] {
        for method in ["GET", "DELETE"] {
            let path = format!("{VERIFY}?{query}");
            let got = app.send("GET", &path, Auth::Key(&value), &[("X-Original-Method", method)], "");
            assert_eq!(got.status, status, "{query} {method}");
        }
    }
}

fn a_misconfigured_gate_rejects_every_request(env: &TestEnv) {
    let app = env.app();
    let value = value_with(&app, &[READ, MODIFY]);
    for query in [
        "requires=AlertRead",
        "require=NoSuch",
        "require=",
        "uuid=1",
        "require=AlertRead&x=1",
    ] {
        app.get(&format!("{VERIFY}?{query}"), Auth::Key(&value)).expect(403);
    }
}

/// Paths of original requests, as Envoy appends them to its prefix.
const ORIGINAL_PATHS: [&str; 8] = [
    "/",
    "//",
    "/rest/agents/1.0/7/state",
    "//rest/",
    "/verify",
    "/a%2fb;c=d/%E2%82%AC.json",
    "/../x",
    "/api-tokens/self",
];

fn the_path_below_the_gate_is_that_of_the_original_request(env: &TestEnv) {
    for base_path in ["", "/bamboo"] {
        let app = env.app_with(&["--legacy-uuid-auth", "--base-path", base_path]);
        let reads = value_with(&app, &[READ]);
        let both = value_with(&app, &[READ, MODIFY]);
        let uuid = app.new_legacy_token(&json!({ "name": "agent", "read": true }));
        for path in ORIGINAL_PATHS {
            for (method, status) in [
                ("GET", 200),
                ("HEAD", 200),
                ("OPTIONS", 200),
                ("PUT", 403),
                ("PROPFIND", 403),
            ] {
                let url = format!("{VERIFY}{path}");
                let response = app.send(method, &url, Auth::Key(&reads), &[], "").expect(status);
                assert_eq!(response.text, "", "{method} {path}");
                assert_eq!(
                    response.header("x-token-id").is_some(),
                    status == 200,
                    "{method} {path}"
                );
                app.send(method, &url, Auth::Key(&both), &[], "").expect(200);
                app.send(method, &url, Auth::Anonymous, &[], "").expect(401);
                let url = format!("{url}?a=1&uuid={uuid}");
                app.send(method, &url, Auth::Anonymous, &[], "").expect(status);
            }
        }
    }
}

fn the_query_below_the_gate_never_requires_a_permission(env: &TestEnv) {
    let app = env.app();
    let alert = value_with(&app, &["AlertRead"]);
    let reads = value_with(&app, &[READ]);
    for path in ORIGINAL_PATHS {
        for query in ["require=AlertRead", "require=NoSuch&x=1", "%ff", "x"] {
            let url = format!("{VERIFY}{path}?{query}");
            app.get(&url, Auth::Key(&alert)).expect(403);
            app.get(&url, Auth::Key(&reads)).expect(200);
        }
    }
}

fn clients_cannot_forge_the_original_method(env: &TestEnv) {
    let app = env.app();
    let reads = value_with(&app, &[READ]);
    // The proxy's own method counts, too, if it is that of the original request.
    let url = format!("{VERIFY}/x");
    for (method, forged) in [("PUT", "GET"), ("GET", "PUT")] {
        app.send(method, &url, Auth::Key(&reads), &[("X-Original-Method", forged)], "")
            .expect(403);
    }
    for forged in [
        [("X-Original-Method", "GET"), ("X-Forwarded-Method", "POST")],
        [("X-Original-Method", "POST"), ("X-Forwarded-Method", "GET")],
        [("X-Forwarded-Method", "GET"), ("X-Forwarded-Method", "DELETE")],
    ] {
        ask(&app, Auth::Key(&reads), &forged).expect(403);
    }
}

fn responses_identify_the_token(env: &TestEnv) {
    let app = env.app();
    let body = json!({ "name": "a b,é\"%~", "permissions": ["UserRead", READ] });
    let (id, value) = app.new_token(&body);
    let response = ask(&app, Auth::Key(&value), &[]).expect(200);
    assert_eq!(response.header("x-token-id"), Some(id.as_str()));
    assert_eq!(response.header("x-token-name"), Some("a%20b%2C%C3%A9%22%25~"));
    assert_eq!(
        response.header("x-token-permissions"),
        Some("OrganizationAPITokenRead,UserRead")
    );
}

fn responses_have_no_body(env: &TestEnv) {
    let app = env.app();
    let value = value_with(&app, &["AlertRead"]);
    let long = "x".repeat(20_000);
    for (response, status) in [
        (ask(&app, Auth::Anonymous, &[]), 401),
        (ask(&app, Auth::Admin, &[]), 401),
        (ask(&app, Auth::Key("tbk_wrong"), &[]), 401),
        (ask(&app, Auth::Bearer(""), &[]), 401),
        (ask(&app, Auth::Key(&value), &[]), 403),
        (app.get("/verify?require=AlertRead", Auth::Key(&value)), 200),
        (ask(&app, Auth::Key(&value), &[("X-Original-URI", &long)]), 431),
    ] {
        assert_eq!(response.status, status);
        assert_eq!(response.text, "", "{status}");
        assert_eq!(response.header("content-type"), None, "{status}");
        let challenge = (status == 401).then_some("ApiKey");
        assert_eq!(response.header("www-authenticate"), challenge, "{status}");
    }
}

fn uuids_are_accepted_only_where_they_are_enabled(env: &TestEnv) {
    let closed = env.app();
    let uuid = closed.new_legacy_token(&json!({ "name": "agent", "read": true }));
    let free = closed.new_legacy_token(&json!({ "name": "agent", "read": true, "change": true }));
    ask_with_uuid(&closed, &uuid, "GET").expect(401);
    let app = env.app_with(&["--legacy-uuid-auth"]);
    let response = ask_with_uuid(&app, &uuid, "GET").expect(200);
    assert_eq!(response.header("x-token-id"), Some(uuid.as_str()));
    ask_with_uuid(&app, &uuid, "PUT").expect(403);
    ask_with_uuid(&app, &free, "PUT").expect(200);
    ask_with_uuid(&app, &uuid.to_uppercase(), "GET").expect(200);
    ask_with_uuid(&app, &uuid[1..], "GET").expect(401);
    ask_with_uuid(&app, "00000000-0000-4000-8000-000000000000", "GET").expect(401);
    let by_forwarded = format!("/?a=1&uuid={uuid}&b=2");
    app.get(&format!("{VERIFY}{by_forwarded}"), Auth::Anonymous).expect(200);
    closed
        .get(&format!("{VERIFY}{by_forwarded}"), Auth::Anonymous)
        .expect(401);
    ask(&app, Auth::Anonymous, &[("X-Forwarded-Uri", &by_forwarded)]).expect(200);
    // Basic credentials are for the service behind the gate.
    ask(&app, Auth::Admin, &[("X-Forwarded-Uri", &by_forwarded)]).expect(200);
    // A value takes precedence over a uuid, even if the value is wrong.
    ask(&app, Auth::Key("tbk_wrong"), &[("X-Forwarded-Uri", &by_forwarded)]).expect(401);
    // The uuid is not a credential anywhere else.
    ask(&app, Auth::Key(&uuid), &[]).expect(401);
    app.get(&format!("{VERIFY}?uuid={uuid}"), Auth::Anonymous).expect(403);
    app.get("/api-tokens/self", Auth::Key(&uuid)).expect(401);
    app.get(&format!("/api-tokens/self?uuid={uuid}"), Auth::Anonymous)
        .expect(401);
}

fn a_uuid_is_rejected_once_the_token_has_a_value(env: &TestEnv) {
    let app = env.app_with(&["--legacy-uuid-auth"]);
    let uuid = app.new_legacy_token(&json!({ "name": "agent", "read": true }));
    ask_with_uuid(&app, &uuid, "GET").expect(200);
    let rotated = app.send("POST", &format!("{TOKENS}/{uuid}/rotate"), Auth::Admin, &[], "");
    let value = string(&rotated.expect(200).json()["value"]);
    ask_with_uuid(&app, &uuid, "GET").expect(401);
    ask(&app, Auth::Key(&value), &[]).expect(200);
    let (id, _) = app.new_token(&json!({ "name": "new", "permissions": [READ] }));
    ask_with_uuid(&app, &id, "GET").expect(401);
}

fn ambiguous_uuids_are_rejected(env: &TestEnv) {
    let app = env.app_with(&["--legacy-uuid-auth"]);
    let [one, other] = ["a", "b"].map(|name| app.new_legacy_token(&json!({ "name": name, "read": true })));
    let (first, second) = (format!("/?uuid={one}"), format!("/?uuid={other}"));
    let twice = format!("{first}&uuid={other}");
    let with_host = format!("https://x{first}");
    let sources = ["X-Original-URI", "X-Original-URL", "X-Forwarded-Uri"];
    for source in sources {
        ask(&app, Auth::Anonymous, &[(source, &first)]).expect(200);
        ask(&app, Auth::Anonymous, &[(source, &with_host)]).expect(200);
        ask(&app, Auth::Anonymous, &[(source, &twice)]).expect(401);
        ask(&app, Auth::Anonymous, &[(source, &first), (source, &second)]).expect(401);
        let below = |headers: &[(&str, &str)]| {
            let url = format!("{VERIFY}{first}");
            app.send("GET", &url, Auth::Anonymous, headers, "").status
        };
        for (value, status) in [(&first, 200), (&second, 401), (&"/".to_owned(), 401)] {
            assert_eq!(below(&[(source, value)]), status, "{source}");
            for another in sources.into_iter().filter(|another| *another != source) {
                let headers = [(another, first.as_str()), (source, value)];
                ask(&app, Auth::Anonymous, &headers).expect(status);
            }
        }
    }
    app.get(&format!("{VERIFY}{twice}"), Auth::Anonymous).expect(401);
}

fn the_gate_enforces_networks_and_expiry(env: &TestEnv) {
    let app = env.app_with(&["--legacy-uuid-auth", "--trusted-proxy", "127.0.0.1"]);
    let uuid = app.new_legacy_token(&json!({ "name": "agent", "read": true }));
    let limits = json!({ "allowedCIDRBlocks": ["192.0.2.0/24"], "expiresAt": env.clock.seconds_from_now(60) });
    app.post(&format!("{TOKENS}/{uuid}"), Auth::Admin, &limits).expect(200);
    let mut limited = limits;
    limited["name"] = json!("n");
    let (_, value) = app.new_token(&limited);
    let uri = format!("/?uuid={uuid}");
    let ask_from = |client: &str| {
        let by_value = ask(&app, Auth::Key(&value), &[("X-Forwarded-For", client)]).status;
        let headers = [("X-Forwarded-For", client), ("X-Original-URI", uri.as_str())];
        [by_value, ask(&app, Auth::Anonymous, &headers).status]
    };
    assert_eq!(ask_from("192.0.2.7"), [200, 200]);
    assert_eq!(ask_from("198.51.100.7"), [401, 401]);
    env.clock.advance(Duration::from_mins(1));
    assert_eq!(ask_from("192.0.2.7"), [401, 401]);
}

fn a_revoked_token_is_rejected_at_the_gate(env: &TestEnv) {
    let app = env.app_with(&["--legacy-uuid-auth"]);
    let (id, value) = app.new_token(&json!({ "name": "n", "permissions": [READ, MODIFY] }));
    let uuid = app.new_legacy_token(&json!({ "name": "agent", "read": true }));
    for _ in 0..2 {
        ask(&app, Auth::Key(&value), &[]).expect(200);
        ask_with_uuid(&app, &uuid, "GET").expect(200);
    }
    app.post(
        &format!("{TOKENS}/{id}"),
        Auth::Admin,
        &json!({ "permissions": ["AlertRead"] }),
    )
    .expect(200);
    ask(&app, Auth::Key(&value), &[]).expect(403);
    for token in [&id, &uuid] {
        app.delete(&format!("{TOKENS}/{token}"), Auth::Admin).expect(204);
    }
    ask(&app, Auth::Key(&value), &[]).expect(401);
    ask_with_uuid(&app, &uuid, "GET").expect(401);
}

fn every_accepted_request_counts_as_a_use(env: &TestEnv) {
    let app = env.app_with(&["--legacy-uuid-auth"]);
    let uuid = app.new_legacy_token(&json!({ "name": "agent", "read": true }));
    let last_used = || app.get(&format!("{TOKENS}/{uuid}"), Auth::Admin).json()["lastUsedAt"].clone();
    assert!(last_used().is_null());
    ask_with_uuid(&app, &uuid, "GET").expect(200);
    let first = string(&last_used());
    env.clock.advance(Duration::from_secs(5));
    // The token is authenticated, but not authorized.
    ask_with_uuid(&app, &uuid, "DELETE").expect(403);
    assert!(string(&last_used()) > first);
    let refused = "SELECT details AS found FROM audit_events WHERE action = 'login.refused' AND channel = 'verify'";
    ask_with_uuid(&app, "00000000-0000-4000-8000-000000000000", "GET").expect(401);
    let events = wait_until("the refused login is written", || {
        Some(env.store.texts(refused)).filter(|events| !events.is_empty())
    });
    assert!(events.iter().all(|event| !event.contains("00000000")), "{events:?}");
}
