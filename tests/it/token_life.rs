//! Disabling tokens, and writes that change nothing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    support::{
        MODIFY, READ, TestApp, TestEnv,
        browser::Browser,
        client::{Auth, LEGACY, TOKENS, string},
        program::Program,
        wait_until,
    },
    tests,
};

tests![
    a_disabled_token_is_refused_everywhere_until_it_is_enabled,
    a_disabled_uuid_is_refused_at_the_gate,
    refused_uses_of_a_disabled_token_are_audited,
    disabling_and_enabling_are_audited,
    a_token_can_be_created_disabled,
    a_write_that_changes_nothing_is_not_a_write,
    an_expiry_that_has_passed_can_be_sent_back,
    legacy_writes_keep_the_new_fields,
    texts_follow_the_rules_for_names_everywhere,
];

fn path(id: &str) -> String {
    format!("{TOKENS}/{id}")
}

fn set_disabled(app: &TestApp, id: &str, disabled: bool) -> Value {
    app.post(&path(id), Auth::Admin, &json!({ "disabled": disabled }))
        .expect(200)
        .json()
}

/// Returns the statuses of every use of a value, and whether it is active according to introspection.
fn use_everywhere(app: &TestApp, value: &str) -> ([u16; 5], Value) {
    let query = json!({ "query": "{ generalSettings { pantherVersion } }" });
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let statuses = [
        app.get("/api-tokens/self", Auth::Key(value)).status,
        app.get("/api-tokens/self", Auth::Bearer(value)).status,
        app.get(TOKENS, Auth::Key(value)).status,
        app.post("/public/graphql", Auth::Key(value), &query).status,
        app.get("/verify", Auth::Key(value)).status,
    ];
    let introspected = app
        .send("POST", "/introspect", Auth::Admin, &form, &format!("token={value}"))
        .expect(200)
        .json();
    (statuses, introspected["active"].clone())
}

fn a_disabled_token_is_refused_everywhere_until_it_is_enabled(env: &TestEnv) {
    let app = env.app();
    let body = json!({ "name": "n", "permissions": [READ, MODIFY], "owner": "team" });
    let (id, value) = app.new_token(&body);
    for _ in 0..2 {
        assert_eq!(use_everywhere(&app, &value), ([200; 5], json!(true)));
    }
    let disabled = set_disabled(&app, &id, true);
    assert!(disabled["disabledAt"].is_string(), "{disabled}");
    assert_eq!(use_everywhere(&app, &value), ([401; 5], json!(false)));
    let refused = app.get("/api-tokens/self", Auth::Key(&value)).expect(401);
    assert_eq!(refused.message(), "this API key is disabled");
    assert_eq!(refused.header("www-authenticate"), Some("ApiKey"));
    assert!(app.get(LEGACY, Auth::Admin).expect(200).text.contains(&id));
    let shown = app.get(&path(&id), Auth::Admin).expect(200).json();
    assert_eq!((&shown["owner"], &shown["name"]), (&json!("team"), &json!("n")));
    let enabled = set_disabled(&app, &id, false);
    assert_eq!(enabled.get("disabledAt"), None, "{enabled}");
    assert_eq!(use_everywhere(&app, &value), ([200; 5], json!(true)));
}

fn a_disabled_uuid_is_refused_at_the_gate(env: &TestEnv) {
    let app = env.app_with(&["--legacy-uuid-auth"]);
    let uuid = app.new_legacy_token(&json!({ "name": "agent", "read": true }));
    let uri = format!("/rest/agents/1.0/7/state/text?uuid={uuid}");
    let ask = || {
        app.send("GET", "/verify", Auth::Anonymous, &[("X-Original-URI", &uri)], "")
            .status
    };
    assert_eq!([ask(), ask()], [200, 200]);
    set_disabled(&app, &uuid, true);
    assert_eq!(ask(), 401);
    set_disabled(&app, &uuid, false);
    assert_eq!(ask(), 200);
}

fn refused_uses_of_a_disabled_token_are_audited(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    set_disabled(&app, &id, true);
    app.get("/api-tokens/self", Auth::Key(&value)).expect(401);
    let refusals = format!("/audit-events?action=login.refused&tokenId={id}");
    let event = wait_until("the refusal is recorded", || {
        let events = app.get(&refusals, Auth::Admin).expect(200).json();
        events["results"].as_array().unwrap().first().cloned()
    });
    assert_eq!(event["details"]["reason"], "this API key is disabled", "{event}");
}

fn disabling_and_enabling_are_audited(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    let at = string(&set_disabled(&app, &id, true)["disabledAt"]);
    let both = json!({ "disabled": false, "name": "m" });
    app.post(&path(&id), Auth::Admin, &both).expect(200);
    let events = app.get(&format!("/audit-events?tokenId={id}"), Auth::Admin).expect(200);
    let events = events.json();
    let found: Vec<_> = events["results"]
        .as_array()
        .unwrap()
        .iter()
        .take(2)
        .map(|event| (string(&event["action"]), event["details"].clone()))
        .collect();
    let expected = [
        (
            "token.enabled".to_owned(),
            json!({ "disabledAt": { "from": at, "to": null }, "name": { "from": "n", "to": "m" } }),
        ),
        (
            "token.disabled".to_owned(),
            json!({ "disabledAt": { "from": null, "to": at } }),
        ),
    ];
    assert_eq!(found, expected);
}

fn a_token_can_be_created_disabled(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n", "disabled": true }));
    app.get("/api-tokens/self", Auth::Key(&value)).expect(401);
    set_disabled(&app, &id, false);
    app.get("/api-tokens/self", Auth::Key(&value)).expect(200);
}

/// Returns everything that a write changes: the token, its entity tag, the number of its events, and the revision.
fn state(env: &TestEnv, app: &TestApp, id: &str) -> (String, Option<String>, usize, Vec<String>) {
    let token = app.get(&path(id), Auth::Admin).expect(200);
    let events = app.get(&format!("/audit-events?tokenId={id}"), Auth::Admin).expect(200);
    (
        token.text.clone(),
        token.header("etag").map(str::to_owned),
        events.json()["results"].as_array().unwrap().len(),
        env.store.texts("SELECT value || '' AS found FROM revision"),
    )
}

fn a_write_that_changes_nothing_is_not_a_write(env: &TestEnv) {
    let app = env.app();
    let program = Program::new(&env.store.url());
    let browser = Browser::signed_in(&app);
    let body = json!({
        "name": "B\u{fc}ro", "permissions": [READ], "allowedCIDRBlocks": ["10.0.0.0/8"],
        "expiresAt": env.clock.seconds_from_now(3600), "description": "a\nb", "owner": "team",
    });
    let (id, _) = app.new_token(&body);
    let page = format!("/tokens/{id}");
    let expires = env.clock.seconds_from_now(3600);
    for disabled in [false, true] {
        set_disabled(&app, &id, disabled);
        let before = state(env, &app, &id);
        env.clock.advance(Duration::from_secs(1));
        let assert_unchanged = |writer: &str| assert_eq!(state(env, &app, &id), before, "{writer}");

        let shown: Value = serde_json::from_str(&before.0).unwrap();
        for body in [
            shown,
            body.clone(),
            json!({ "name": "Bu\u{308}ro" }),
            json!({ "allowedCIDRBlocks": ["10.1.2.3/8", "10.0.0.0/8"] }),
            json!({ "disabled": disabled }),
        ] {
            app.post(&path(&id), Auth::Admin, &body).expect(200);
            assert_unchanged(&format!("POST {body}"));
        }
        for body in [json!({}), json!({ "name": "B\u{fc}ro", "read": true, "change": false })] {
            app.put(&format!("{LEGACY}/{id}"), Auth::Admin, &body).expect(200);
            assert_unchanged(&format!("PUT {body}"));
        }
        let fields = [
            ("name", "B\u{fc}ro"),
            ("permission", READ),
            ("blocks", "10.0.0.0/8"),
            ("expires", expires.trim_end_matches('Z')),
            ("description", "a\r\nb"),
            ("owner", "team"),
        ];
        browser.fill(&format!("{page}/edit"), &fields).expect(303);
        assert_unchanged("the form");
        let action = if disabled { "disable" } else { "enable" };
        let shown = browser.get(&page).expect(200);
        browser.submit(&shown, &format!("{page}/{action}"), &[]).expect(303);
        assert_unchanged("the button");
        for arguments in [
            &["token", action, &id][..],
            &["token", "update", &id, "--owner", "team"],
        ] {
            let output = program.run(arguments);
            assert_eq!(output.exit_code, 0, "{output:?}");
            assert_unchanged("the command line");
        }
    }
}

fn an_expiry_that_has_passed_can_be_sent_back(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "n", "expiresAt": env.clock.seconds_from_now(60) }));
    env.clock.advance(Duration::from_mins(2));
    let shown = app.get(&path(&id), Auth::Admin).expect(200).json();
    assert_eq!(app.post(&path(&id), Auth::Admin, &shown).expect(200).json(), shown);
    let other = json!({ "expiresAt": env.clock.seconds_from_now(-1) });
    app.post(&path(&id), Auth::Admin, &other).expect(400);
}

fn legacy_writes_keep_the_new_fields(env: &TestEnv) {
    let app = env.app();
    let body = json!({ "name": "n", "description": "for\nit", "owner": "team", "disabled": true });
    let (id, _) = app.new_token(&body);
    let before = app.get(&path(&id), Auth::Admin).expect(200).json();
    let change = json!({ "name": "m", "read": true, "change": true });
    app.put(&format!("{LEGACY}/{id}"), Auth::Admin, &change).expect(200);
    let after = app.get(&path(&id), Auth::Admin).expect(200).json();
    assert_eq!(after["name"], "m");
    for field in ["description", "owner", "disabledAt"] {
        assert!(after[field].is_string() && after[field] == before[field], "{field}");
    }
}

fn texts_follow_the_rules_for_names_everywhere(env: &TestEnv) {
    let app = env.app();
    let program = Program::new(&env.store.url());
    let browser = Browser::signed_in(&app);
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    for (text, reason, on_page) in [
        ("a\u{202e}b", "U+202E", "remove the invisible character U+202E."),
        ("a\u{2028}b", "U+2028", "remove the invisible character U+2028."),
        ("\u{feff}", "U+FEFF", "remove the invisible character U+FEFF."),
        ("a\tb", "U+0009", "remove the invisible character U+0009."),
        ("\u{3164}", "visible", "enter at least one visible character."),
        (&*"x".repeat(1001), "has 1001 characters", "There are 1,001."),
    ] {
        for field in ["description", "owner"] {
            let create = json!({ "name": "n", field: text });
            for refused in [
                app.post(TOKENS, Auth::Admin, &create),
                app.post(&path(&id), Auth::Admin, &json!({ field: text })),
            ] {
                let message = refused.expect(400).message();
                assert!(
                    message.starts_with(&format!("{field}: ")) && message.contains(reason),
                    "{message}"
                );
            }
            let fields = [("name", "n"), (field, text)];
            let page = browser.fill(&format!("/tokens/{id}/edit"), &fields).expect(400);
            let label = if field == "owner" { "Owner: " } else { "Description: " };
            let (_, error) = page.text.split_once(label).unwrap();
            assert!(error.split('<').next().unwrap().ends_with(on_page), "{error}");
            let flag = format!("--{field}");
            for arguments in [
                ["token", "create", "n", &flag, text],
                ["token", "update", &id, &flag, text],
            ] {
                let output = program.run(&arguments);
                assert!(output.exit_code == 2 && output.stderr.contains(reason), "{output:?}");
            }
        }
    }
    let lines = json!({ "owner": "a\nb" });
    app.post(&path(&id), Auth::Admin, &lines).expect(400);
    let texts = json!({ "description": "u\u{308}\nb", "owner": "u\u{308}" });
    let stored = app.post(&path(&id), Auth::Admin, &texts).expect(200).json();
    assert_eq!(
        (&stored["description"], &stored["owner"]),
        (&json!("\u{fc}\nb"), &json!("\u{fc}"))
    );
}
