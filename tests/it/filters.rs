//! The filters of token lists.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    support::{
        MODIFY, READ, TestApp, TestEnv,
        browser::{Browser, names as console_names},
        client::{Auth, TOKENS, string},
        program::Program,
    },
    tests,
};

tests![
    text_filters_are_exact_and_case_sensitive,
    tokens_are_found_by_permission,
    tokens_are_found_by_creator,
    active_tokens_are_those_that_can_be_used,
    the_command_line_has_every_filter,
    filters_delete_what_they_list,
];

fn names(app: &TestApp, query: &str) -> Vec<String> {
    let found = app.get(&format!("{TOKENS}?{query}"), Auth::Admin).expect(200).json();
    let tokens = found["results"].as_array().unwrap();
    tokens.iter().map(|token| string(&token["name"])).collect()
}

fn text_filters_are_exact_and_case_sensitive(env: &TestEnv) {
    let app = env.app();
    for (name, owner) in [
        ("B\u{fc}ro", "team B\u{fc}ro"),
        ("b\u{fc}ro", "Team"),
        ("B\u{fc}ro 2", ""),
    ] {
        app.new_token(&json!({ "name": name, "owner": owner }));
    }
    for typed in ["B%C3%BCro", "Bu%CC%88ro"] {
        assert_eq!(names(&app, &format!("nameEquals={typed}")), ["B\u{fc}ro"]);
        assert_eq!(names(&app, &format!("owner=team%20{typed}")), ["B\u{fc}ro"]);
    }
    assert_eq!(names(&app, "owner=Team"), ["b\u{fc}ro"]);
    assert_eq!(names(&app, "owner=Team&nameEquals=B%C3%BCro"), Vec::<String>::new());
    for none in ["nameEquals=", "owner=", "owner=team", "createdBy=", "nameEquals=%25"] {
        assert_eq!(names(&app, none), Vec::<String>::new(), "{none}");
    }
    for (query, message) in [
        ("nameEquals=%00", "nameEquals: must not contain control characters"),
        ("owner=%0A", "owner: must not contain control characters"),
        ("createdBy=%00", "createdBy: must not contain control characters"),
        (
            "permission=AlertRed",
            "permission: unknown permission \"AlertRed\"; did you mean \"AlertRead\"?",
        ),
        ("ownr=x", "unknown parameter \"ownr\"; did you mean \"owner\"?"),
    ] {
        let refused = app.get(&format!("{TOKENS}?{query}"), Auth::Admin).expect(400);
        assert_eq!(refused.message(), message);
    }
}

fn tokens_are_found_by_permission(env: &TestEnv) {
    let app = env.app();
    for (name, permissions) in [
        ("none", json!([])),
        ("first of two", json!([READ, "UserRead"])),
        ("last of two", json!(["AlertRead", READ])),
        ("one", json!([READ])),
        ("other", json!([MODIFY, "AlertRead"])),
    ] {
        app.new_token(&json!({ "name": name, "permissions": permissions }));
    }
    assert_eq!(
        names(&app, &format!("permission={READ}")),
        ["first of two", "last of two", "one"]
    );
    assert_eq!(names(&app, "permission=AlertRead"), ["last of two", "other"]);
    assert_eq!(names(&app, "permission=UserModify"), Vec::<String>::new());
}

fn tokens_are_found_by_creator(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "by admin" }));
    let child = json!({ "name": "by token" });
    app.post(TOKENS, Auth::Key(&value), &child).expect(200);
    let made = Program::new(&env.store.url()).run(&["token", "create", "by cli"]);
    assert_eq!(made.exit_code, 0, "{made:?}");
    assert_eq!(names(&app, "createdBy=admin"), ["by admin"]);
    assert_eq!(names(&app, &format!("createdBy={id}")), ["by token"]);
    assert_eq!(names(&app, "createdBy=cli"), ["by cli"]);
    assert_eq!(names(&app, "createdBy=Admin"), Vec::<String>::new());
}

fn active_tokens_are_those_that_can_be_used(env: &TestEnv) {
    let app = env.app();
    app.new_token(&json!({ "name": "active" }));
    app.new_token(&json!({ "name": "disabled", "disabled": true }));
    app.new_token(&json!({ "name": "expired", "expiresAt": env.clock.seconds_from_now(1) }));
    app.new_legacy_token(&json!({ "name": "legacy" }));
    env.clock.advance(Duration::from_secs(2));
    assert_eq!(names(&app, "state=active"), ["active"]);
    assert_eq!(names(&app, "state=disabled"), ["disabled"]);
    assert_eq!(names(&app, "state=legacy"), ["legacy"]);
    let show = |app: &TestApp, status: &str| {
        let browser = Browser::signed_in(app);
        console_names(&browser.get(&format!("/tokens?show={status}&sort=created")).expect(200))
    };
    assert_eq!(show(&app, "active"), ["active"]);
    assert_eq!(show(&app, "disabled"), ["disabled"]);
    let gate = env.app_with(&["--legacy-uuid-auth"]);
    assert_eq!(names(&gate, "state=active"), ["active", "legacy"]);
    assert_eq!(show(&gate, "active"), ["active", "legacy"]);
    let program = Program::new(&env.store.url());
    for (flags, expected) in [(&[][..], 1), (&["--legacy-uuid-auth"], 2)] {
        let arguments = [
            &["token", "list", "--name", "e", "--state", "active", "--output", "json"],
            flags,
        ]
        .concat();
        let listed: Value = serde_json::from_str(&program.run(&arguments).stdout).unwrap();
        let named = |name: &str| listed.as_array().unwrap().iter().any(|token| token["name"] == name);
        // The command has its own clock, by which the short-lived token has not expired.
        let active = ["active", "legacy"].into_iter().filter(|name| named(name)).count();
        assert_eq!(active, expected, "{listed}");
    }
}

fn the_command_line_has_every_filter(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "one", "owner": "team", "permissions": ["AlertRead"] }));
    app.new_legacy_token(&json!({ "name": "one or two" }));
    let program = Program::new(&env.store.url());
    for (flag, value) in [
        ("--name-equals", "one"),
        ("--owner", "team"),
        ("--permission", "AlertRead"),
    ] {
        let output = program.run(&["token", "list", flag, value]);
        assert!(
            output.stdout.contains(&id) && output.stdout.lines().count() == 2,
            "{output:?}"
        );
    }
    for (flag, value, lines) in [
        ("--created-by", "admin", 3),
        ("--created-by", "cli", 1),
        ("--owner", "x", 1),
    ] {
        let output = program.run(&["token", "list", flag, value]);
        assert_eq!(output.stdout.lines().count(), lines, "{output:?}");
    }
}

fn filters_delete_what_they_list(env: &TestEnv) {
    let app = env.app();
    for (name, owner) in [("a", "team"), ("b", "team"), ("c", "other")] {
        app.new_token(&json!({ "name": name, "owner": owner }));
    }
    let output = Program::new(&env.store.url()).run(&["token", "delete", "--owner", "other", "--expected", "1"]);
    assert_eq!(output.exit_code, 0, "{output:?}");
    let path = format!("{TOKENS}?owner=team&expected=2");
    app.delete(&path, Auth::Admin).expect(200);
    assert_eq!(names(&app, ""), Vec::<String>::new());
}
