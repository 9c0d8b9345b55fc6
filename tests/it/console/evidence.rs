//! The audit log as evidence, the overview, and error pages.

use std::{path::Path, time::Duration};

use serde_json::json;

use crate::{
    support::{
        TestEnv,
        browser::{Browser, next_page},
        client::{Auth, LEGACY, TOKENS},
        program::Program,
        store::StoreKind,
    },
    tests,
};

tests![
    a_deleted_token_is_found_by_its_name,
    the_audit_log_pages_in_both_directions,
    earlier_events_get_the_name_of_their_token,
    the_overview_counts_and_links,
    removing_an_admin_says_what_breaks,
    error_pages_keep_the_navigation,
];

fn a_deleted_token_is_found_by_its_name(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "deployer", "permissions": ["OrganizationAPITokenModify"] }));
    let (other, _) = app.new_token(&json!({ "name": "other", "permissions": [] }));
    env.clock.advance(Duration::from_hours(5 * 24));
    app.delete(&format!("{TOKENS}/{other}"), Auth::Key(&value)).expect(204);
    app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &json!({ "name": "deployer 2" }))
        .expect(200);
    let browser = Browser::signed_in(&app);
    let page = browser
        .get("/audit?token=other&days=7&action=token.deleted")
        .expect(200)
        .text;
    assert_eq!(page.matches("scope=\"row\"").count(), 1, "{page}");
    // The actor is a token: it has its current name, and its short ID.
    let actor = format!(
        "<a href=\"/console/tokens/{id}\">deployer 2</a> <code class=\"short\" title=\"{id}\">{}",
        &id[..8]
    );
    for part in [
        "Token deleted",
        &actor,
        "2030-01-06 00:00:00</time>",
        &format!("/console/tokens/{other}\">other</a>"),
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    // Details are folded. The name of the event is the one after it.
    assert!(page.contains("<details><summary>"), "{page}");
    for (query, count) in [("token=deployer", 1), ("token=deployer%202", 1), ("token=OTHER", 0)] {
        let page = browser.get(&format!("/audit?{query}")).expect(200).text;
        assert_eq!(page.matches("scope=\"row\"").count(), count, "{query}");
        assert_eq!(page.contains("A name must match exactly."), count == 0, "{query}");
    }
    let events = app.get("/audit-events?tokenName=other", Auth::Admin).expect(200).json();
    let names: Vec<_> = events["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["tokenName"])
        .collect();
    assert_eq!(names, ["other", "other"]);
    let printed = Program::new(&env.store.url()).run(&["audit", "--token-name", "other", "--output", "json"]);
    assert_eq!(printed.stdout.lines().count(), 2, "{printed:?}");
    app.get("/audit-events?tokenName=%00", Auth::Admin).expect(400);
    // Refused uses have the name as well.
    app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &json!({ "disabled": true }))
        .expect(200);
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(401);
    app.stop();
    let app = env.app();
    let refused = "/audit-events?tokenName=deployer%202&action=login.refused";
    let refused = app.get(refused, Auth::Admin).expect(200).json();
    assert_eq!(refused["results"][0]["tokenId"], json!(id), "{refused}");
}

fn the_audit_log_pages_in_both_directions(env: &TestEnv) {
    env.store.execute(
        "INSERT INTO audit_events (at, channel, action, details)
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 250)
         SELECT 1893455999000000 + 1000 * (n / 3), 'verify', 'login.refused', '{}' FROM n",
    );
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let previous = |text: &str| {
        let (_, link) = text.split_once("rel=\"prev\" href=\"/console")?;
        Some(link.split_once('"').unwrap().0.replace("&#38;", "&"))
    };
    let rows = |text: &str| -> Vec<String> {
        let rows = text.split("<time class=\"at\" datetime=\"").skip(1);
        rows.map(|row| row.split('"').next().unwrap().to_owned()).collect()
    };
    let first = browser.get("/audit?channel=verify").expect(200);
    let second = browser.get(&next_page(&first).unwrap()).expect(200);
    let third = browser.get(&next_page(&second).unwrap()).expect(200);
    assert!(next_page(&third).is_none() && previous(&first.text).is_none());
    assert_eq!(
        [&first, &second, &third].map(|page| rows(&page.text).len()),
        [100, 100, 50]
    );
    let back = browser.get(&previous(&third.text).unwrap()).expect(200);
    assert_eq!(rows(&back.text), rows(&second.text));
    assert_eq!(rows(&browser.get(&next_page(&back).unwrap()).text), rows(&third.text));
    // The page before the second one is the first one, with its links.
    let start = browser.get(&previous(&second.text).unwrap()).expect(200);
    assert_eq!(rows(&start.text), rows(&first.text));
    assert!(previous(&start.text).is_none() && next_page(&start).is_some());
}

fn earlier_events_get_the_name_of_their_token(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "first" }));
    let path = format!("{TOKENS}/{id}");
    app.post(&format!("{path}/rotate"), Auth::Admin, &json!({})).expect(200);
    app.post(&path, Auth::Admin, &json!({ "name": "second" })).expect(200);
    app.post(&path, Auth::Admin, &json!({ "disabled": true })).expect(200);
    app.stop();
    let kind = match env.kind {
        StoreKind::Sqlite => "sqlite",
        StoreKind::Postgres => "postgres",
    };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(kind);
    let script = |name| std::fs::read_to_string(directory.join("0015_audit_names_and_sessions").join(name)).unwrap();
    env.store.execute(&script("down.sql"));
    env.store.execute(&script("up.sql"));
    let names = env.store.texts(&format!(
        "SELECT COALESCE(token_name, '-') AS found FROM audit_events WHERE token_id = '{id}' ORDER BY seq"
    ));
    assert_eq!(names, ["first", "first", "second", "second"]);
}

fn the_overview_counts_and_links(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let empty = browser.get("").expect(200).text;
    assert!(empty.contains("Create the first token") && empty.contains("aria-current=\"page\">Overview</a>"));
    assert!(empty.contains("No sign-in was refused in the last 7 days."));
    let (id, value) = app.new_token(&json!({ "name": "one", "expiresAt": env.clock.seconds_from_now(1000) }));
    app.new_token(&json!({ "name": "two" }));
    app.new_legacy_token(&json!({ "name": "agent" }));
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    app.get(LEGACY, Auth::Admin).expect(200);
    app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &json!({ "disabled": true }))
        .expect(200);
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(401);
    app.stop();
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let page = browser.get("").expect(200).text;
    for (show, count, title) in [
        ("", 3, "All tokens"),
        ("?show=active", 1, "Active"),
        ("?show=disabled", 1, "Disabled"),
        ("?show=expiring", 0, "Expiring within 30 days"),
        ("?show=never-used", 2, "Never used"),
        ("?show=legacy", 1, "Legacy"),
    ] {
        let link = format!("href=\"/console/tokens{show}\"><span class=\"figure\">{count}</span> {title}</a>");
        assert!(page.contains(&link), "{link} in {page}");
    }
    for part in [
        "Legacy API: Still in use",
        "2 of 3 tokens have a value",
        "2 legacy calls in the last 30 days",
        &format!("<a href=\"/console/tokens/{id}\">one</a> <span class=\"muted\">1 time</span>"),
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

fn removing_an_admin_says_what_breaks(env: &TestEnv) {
    let app = env.app();
    let added =
        Program::new(&env.store.url()).run_with_input(&["admin", "add", "ops", "--password-stdin"], "of ops 123");
    assert_eq!(added.exit_code, 0, "{added:?}");
    let browser = Browser::signed_in(&app);
    let page = browser.get("/admins/remove?name=ops").expect(200).text;
    assert!(page.contains("No legacy calls in 30 days by this account."));
    assert!(page.contains("This account created no token that still exists."));
    let ops = Auth::Basic("ops", "of ops 123");
    for _ in 0..3 {
        app.get(LEGACY, ops).expect(200);
    }
    app.post(TOKENS, ops, &json!({ "name": "of ops" })).expect(200);
    app.stop();
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let page = browser.get("/admins/remove?name=ops").expect(200).text;
    let calls = "3 legacy calls in 30 days by this account, the last one just now. Its calls will be refused.";
    assert!(page.contains(calls), "{page}");
    assert!(
        page.contains("1 token was created by this account. It stays."),
        "{page}"
    );
}

fn error_pages_keep_the_navigation(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    for path in [
        "/nothing",
        "/tokens/7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0/delete",
        "/admins/role?name=unknown",
    ] {
        let page = browser.get(path).expect(404).text;
        for part in [
            "Page not found",
            "<nav aria-label=\"Main\">",
            "href=\"/console/audit\"",
            "Sign out",
        ] {
            assert!(page.contains(part), "{path}: {part} in {page}");
        }
    }
    let page = browser.get("/audit/events.csv?unknown=1").expect(400).text;
    assert!(page.contains("<nav aria-label=\"Main\">"), "{page}");
    let stranger = Browser::new(&app).get("/nothing").expect(404).text;
    assert!(
        !stranger.contains("<nav aria-label=\"Main\">") && stranger.contains("Sign in</a>"),
        "{stranger}"
    );
}
