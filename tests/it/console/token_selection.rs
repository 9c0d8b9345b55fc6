//! Changes of many tokens at once, as a browser makes them that runs no script.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    support::{
        TestApp, TestEnv,
        browser::{Browser, assert_redirects_to, names},
        client::{Auth, Response, TOKENS, string},
        wait_until,
    },
    tests,
};

tests![
    selected_tokens_are_disabled_and_enabled,
    all_matching_tokens_are_deleted_after_their_number_is_typed,
    exactly_the_confirmed_tokens_are_changed,
    the_expiry_of_selected_tokens_is_set,
    a_selection_needs_tokens_and_an_action,
    an_auditor_selects_nothing,
    more_than_ten_thousand_tokens_are_not_changed_at_once,
];

/// Submits the form of the list at `path`.
fn select(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Response {
    let list = browser.get(path).expect(200);
    browser.submit(&list, "/tokens/selection", fields)
}

fn confirm(browser: &Browser, page: &Response, fields: &[(&str, &str)]) -> Response {
    browser.submit(page, "/tokens/selection/change", fields)
}

fn token(app: &TestApp, id: &str) -> Value {
    app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(200).json()
}

fn events(env: &TestEnv, action: &str) -> Vec<String> {
    env.store.texts(&format!(
        "SELECT token_id || ' ' || actor_id || ' ' || channel AS found FROM audit_events WHERE action = '{action}' ORDER BY token_id"
    ))
}

fn selected_tokens_are_disabled_and_enabled(env: &TestEnv) {
    let (app, other) = (env.app(), env.app());
    let browser = Browser::signed_in(&app);
    let mut made: Vec<(String, String)> = (0..3)
        .map(|n| app.new_token(&json!({ "name": format!("job {n}") })))
        .collect();
    made.sort();
    let works = |app: &TestApp, n: usize| app.get(&format!("{TOKENS}/self"), Auth::Key(&made[n].1)).status == 200;
    for n in 0..3 {
        assert!(works(&app, n) && works(&other, n));
    }
    app.post(
        &format!("{TOKENS}/{}", made[0].0),
        Auth::Admin,
        &json!({ "disabled": true }),
    )
    .expect(200);
    let before = token(&app, &made[0].0);
    let chosen = [("id", made[0].0.as_str()), ("id", &made[1].0), ("action", "disable")];
    let page = select(&browser, "/tokens?search=job&sort=name", &chosen).expect(200);
    assert!(page.text.contains("<h1>Disable 2 tokens?</h1>"), "{}", page.text);
    for (id, _) in &made[..2] {
        assert!(page.text.contains(&format!("<code>{}</code>", &id[..8])));
    }
    assert!(
        page.text.contains("href=\"/console/tokens?search=job&#38;sort=name\""),
        "{}",
        page.text
    );
    let done = confirm(&browser, &page, &[]);
    assert_redirects_to(&done, "/console/tokens?search=job&sort=name&done=disabled&count=1");
    let list = browser
        .get("/tokens?search=job&sort=name&done=disabled&count=1")
        .expect(200);
    assert!(list.text.contains("1 token has been disabled.") && names(&list).len() == 3);
    // One that was disabled already is not written again.
    assert_eq!(token(&app, &made[0].0), before);
    let event = |n: usize, channel: &str| format!("{} admin {channel}", made[n].0);
    assert_eq!(
        events(env, "token.disabled"),
        [event(0, "api-tokens"), event(1, "console")]
    );
    assert!(!works(&app, 1) && works(&app, 2));
    let answered = Instant::now();
    wait_until("the other server refuses", || (!works(&other, 1)).then_some(()));
    assert!(answered.elapsed().as_secs() < 1, "{:?}", answered.elapsed());
    let page = select(
        &browser,
        "/tokens?show=disabled",
        &[("all", "yes"), ("action", "enable")],
    )
    .expect(200);
    assert!(page.text.contains("<h1>Enable 2 tokens?</h1>"));
    let done = confirm(&browser, &page, &[]);
    assert_redirects_to(&done, "/console/tokens?show=disabled&done=enabled&count=2");
    assert!((0..3).all(|n| works(&app, n)));
    assert_eq!(events(env, "token.enabled"), [event(0, "console"), event(1, "console")]);
}

fn all_matching_tokens_are_deleted_after_their_number_is_typed(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    for n in 0..60 {
        app.new_legacy_token(&json!({ "name": format!("old {n:02}") }));
    }
    app.new_legacy_token(&json!({ "name": "kept" }));
    let path = "/tokens?search=old&sort=name";
    let chosen = [("all", "yes"), ("action", "delete")];
    assert!(browser.get(path).text.contains("Select all 60 tokens that match"));
    let page = select(&browser, path, &chosen).expect(200);
    assert!(page.text.contains("<h1>Delete 60 tokens?</h1>") && page.text.contains("Type 60 to confirm"));
    assert!(page.text.contains("old 09") && !page.text.contains("old 10") && page.text.contains("and 50 more"));
    for typed in ["", "6", "600", "kept"] {
        let refused = confirm(&browser, &page, &[("number", typed)]).expect(400);
        assert!(
            refused.text.contains("That is not the number of selected tokens."),
            "{typed}"
        );
    }
    assert_eq!(events(env, "token.deleted"), Vec::<String>::new());
    let done = confirm(&browser, &page, &[("number", " 60 ")]);
    assert_redirects_to(&done, "/console/tokens?search=old&sort=name&done=deleted&count=60");
    assert_eq!(events(env, "token.deleted").len(), 60);
    let list = browser.get("/tokens").expect(200);
    assert_eq!(names(&list), ["kept"]);
    // Sending the form again finds nothing to delete.
    let again = confirm(&browser, &page, &[("number", "60")]);
    assert_redirects_to(&again, "/console/tokens?search=old&sort=name&done=none-selected");
    assert_eq!(names(&browser.get("/tokens")), ["kept"]);
}

fn exactly_the_confirmed_tokens_are_changed(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let (first, _) = app.new_token(&json!({ "name": "job 1" }));
    let (second, _) = app.new_token(&json!({ "name": "job 2" }));
    let by_filter = select(&browser, "/tokens?search=job", &[("all", "yes"), ("action", "delete")]).expect(200);
    let chosen = [("id", first.as_str()), ("id", &second), ("action", "delete")];
    let by_id = select(&browser, "/tokens", &chosen).expect(200);
    app.post(&format!("{TOKENS}/{second}"), Auth::Admin, &json!({ "name": "other" }))
        .expect(200);
    let (third, _) = app.new_token(&json!({ "name": "job 3" }));
    // As many as before, but others.
    let changed = confirm(&browser, &by_filter, &[("number", "2")]).expect(400);
    assert!(
        changed.text.contains("The matching tokens have changed"),
        "{}",
        changed.text
    );
    assert!(changed.text.contains("job 3") && changed.text.contains("<h1>Delete 2 tokens?</h1>"));
    app.delete(&format!("{TOKENS}/{first}"), Auth::Admin).expect(204);
    let gone = confirm(&browser, &by_id, &[("number", "2")]).expect(400);
    assert!(gone.text.contains("<h1>Delete 1 token?</h1>"), "{}", gone.text);
    assert_eq!(events(env, "token.deleted").len(), 1);
    // The page with the changed selection confirms that one.
    let done = confirm(&browser, &gone, &[("number", "1")]);
    assert_redirects_to(&done, "/console/tokens?done=deleted&count=1");
    let left = app.get(TOKENS, Auth::Admin).json();
    assert_eq!(left["results"].as_array().unwrap().len(), 1);
    assert_eq!(left["results"][0]["id"], third);
}

fn the_expiry_of_selected_tokens_is_set(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let (id, _) = app.new_token(&json!({ "name": "n", "expiresAt": env.clock.seconds_from_now(60) }));
    let chosen = [("id", id.as_str()), ("action", "set-expiry")];
    let page = || select(&browser, "/tokens", &chosen).expect(200);
    for (expiry, expires) in [("", ""), ("at", ""), ("at", "2020-01-01T00:00"), ("8", "")] {
        let refused = confirm(&browser, &page(), &[("expiry", expiry), ("expires", expires)]).expect(400);
        assert!(refused.text.contains("Enter a time in the future"), "{expiry}");
    }
    for (expiry, expires, expected) in [
        ("30", "", json!(env.clock.seconds_from_now(30 * 86_400))),
        ("at", "2031-02-03T04:05", json!("2031-02-03T04:05:00Z")),
        ("never", "", Value::Null),
    ] {
        let done = confirm(&browser, &page(), &[("expiry", expiry), ("expires", expires)]);
        assert_redirects_to(&done, "/console/tokens?done=changed&count=1");
        assert_eq!(token(&app, &id)["expiresAt"], expected, "{expiry}");
    }
    assert_eq!(events(env, "token.updated").len(), 3);
    let done = confirm(&browser, &page(), &[("expiry", "never")]);
    assert_redirects_to(&done, "/console/tokens?done=changed&count=0");
    assert_eq!(events(env, "token.updated").len(), 3);
}

fn a_selection_needs_tokens_and_an_action(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    let none = select(&browser, "/tokens?sort=name", &[("action", "delete")]);
    assert_redirects_to(&none, "/console/tokens?sort=name&done=none-selected");
    let list = browser.get("/tokens?sort=name&done=none-selected").expect(200);
    assert!(list.text.contains("Select at least one token first."));
    select(&browser, "/tokens", &[("id", &id)]).expect(400);
    select(&browser, "/tokens", &[("id", &id), ("action", "rename")]).expect(400);
    let outside = [("id", id.as_str()), ("action", "enable"), ("digest", "nonsense")];
    let page = select(&browser, "/tokens", &outside).expect(200);
    let fields = [
        ("action", "enable"),
        ("id", &id),
        ("digest", "nonsense"),
        ("back", "https://evil.example"),
    ];
    let key = crate::support::browser::hidden_fields(&page.text)[0].clone();
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let refused = browser.post("/tokens/selection/change", &[vec![key], fields.to_vec()].concat());
    assert!(refused.expect(400).text.contains("href=\"/console/tokens\""));
}

fn an_auditor_selects_nothing(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    browser
        .fill(
            "/admins",
            &[
                ("name", "reader"),
                ("password", "a long phrase"),
                ("again", "a long phrase"),
                ("role", "auditor"),
            ],
        )
        .expect(303);
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    let auditor = Browser::new(&app);
    auditor.sign_in("reader", "a long phrase").expect(303);
    let list = auditor.get("/tokens").expect(200);
    assert_eq!(names(&list), ["n"]);
    assert!(
        !list.text.contains("type=\"checkbox\"") && !list.text.contains("name=\"action\""),
        "{}",
        list.text
    );
    for path in ["/tokens/selection", "/tokens/selection/change"] {
        let fields = [
            ("id", id.as_str()),
            ("action", "delete"),
            ("count", "1"),
            ("number", "1"),
        ];
        auditor.submit(&list, path, &fields).expect(403);
    }
    assert_eq!(string(&token(&app, &id)["id"]), id);
}

fn more_than_ten_thousand_tokens_are_not_changed_at_once(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let rows =
        (1..=10_001).map(|n: usize| format!("('00000000-0000-4000-8000-{n:012}', 'n', '', '', 0, 'user', 'admin')"));
    env.store.execute(&format!(
        "INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, created_at, created_by_type, created_by_id) VALUES {}",
        rows.collect::<Vec<_>>().join(", ")
    ));
    let chosen = [("all", "yes"), ("action", "disable")];
    let refused = select(&browser, "/tokens", &chosen).expect(400);
    assert!(
        refused.text.contains("more than 10,000 tokens are selected"),
        "{}",
        refused.text
    );
    env.store
        .execute("DELETE FROM tokens WHERE id = '00000000-0000-4000-8000-000000000001'");
    let page = select(&browser, "/tokens", &chosen).expect(200);
    let began = Instant::now();
    let done = confirm(&browser, &page, &[]);
    println!("{}: 10,000 tokens disabled in {:?}", env.kind, began.elapsed());
    assert_redirects_to(&done, "/console/tokens?done=disabled&count=10000");
    let events = env
        .store
        .texts("SELECT '' || count(*) AS found FROM audit_events WHERE action = 'token.disabled'");
    assert_eq!(events, ["10000"]);
}
