//! The audit and legacy pages, and what all pages have in common.

use std::time::Duration;

use diesel::{Connection, PgConnection, connection::SimpleConnection};
use serde_json::json;

use super::tokens;
use crate::{
    support::{
        ADMIN, TestEnv,
        browser::{Browser, assert_redirects_to, next_page},
        client::{Auth, LEGACY, TOKENS},
        store::{StoreKind, sqlite},
    },
    tests,
};

tests![
    the_audit_page_filters_and_downloads,
    the_legacy_page_gives_a_verdict,
    the_console_is_translated_into_korean,
    pages_have_a_strict_content_security_policy,
    the_console_honors_the_context_path,
    a_locked_store_is_reported,
];

fn the_audit_page_filters_and_downloads(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let (id, _) = browser.create(&[("name", "first")]);
    env.clock.advance(Duration::from_mins(5));
    browser
        .fill(&format!("/tokens/{id}/edit"), &[("name", "second")])
        .expect(303);
    app.new_token(&json!({ "name": "other, \"quoted\"" }));
    let rows = |query: &str| {
        let page = browser.get(&format!("/audit{query}")).expect(200).text;
        page.matches("<th role=\"rowheader\" scope=\"row\"").count()
    };
    let all = rows("");
    for (query, expected) in [
        ("?channel=console", 2),
        ("?action=token.updated", 1),
        (&*format!("?token={id}"), 2),
        (&format!("?token={}", &id[..8]), 2),
        ("?token=second", 1),
        ("?token=unknown", 0),
        ("?token=abcdef12", 0),
        // The first admin was added before.
        ("?days=7", all - 1),
        ("?days=7&since=2030-01-01T00:05", 2),
        ("?actor=admin", 3),
        ("?actor=unknown", 0),
        ("?since=2030-01-01T00:05", 2),
        ("?until=2030-01-01T00:05:00&channel=console", 1),
    ] {
        assert_eq!(rows(query), expected, "{query}");
    }
    let page = browser.get("/audit?channel=console").expect(200).text;
    assert!(page.contains("<li>Name: first → second</li>"), "{page}");
    for wrong in ["?token=%00", "?since=yesterday", "?channel=window", "?actor=%00"] {
        let response = browser.get(&format!("/audit{wrong}")).expect(400);
        assert!(response.text.contains("This filter cannot be used:"), "{wrong}");
        assert!(!response.text.contains("expiresAt"), "{wrong}: {}", response.text);
        browser.get(&format!("/audit/events.csv{wrong}")).expect(400);
    }

    let csv = browser.get("/audit/events.csv?channel=console").expect(200);
    assert!(csv.header("content-type").unwrap().starts_with("text/csv"));
    assert_eq!(
        csv.header("content-disposition"),
        Some("attachment; filename=\"audit-events.csv\"")
    );
    assert_eq!(csv.text.lines().count(), 3);
    let downloaded = browser.get("/audit/events.json").expect(200);
    assert_eq!(downloaded.json().as_array().unwrap().len(), all);
    assert_eq!(
        browser.get("/audit/events.json?actor=unknown").expect(200).json(),
        json!([])
    );
    // More events than one query reads.
    env.store.execute(
        "INSERT INTO audit_events (at, channel, action, details)
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2500)
         SELECT 1893455000000000 + 1000 * n, 'verify', 'login.refused', '{}' FROM n",
    );
    let many = browser.get("/audit/events.json").expect(200).json();
    assert_eq!(many.as_array().unwrap().len(), all + 2500);
    assert_eq!(many[0]["action"], "token.created");
    let (mut path, mut seen) = ("/audit?channel=verify".to_owned(), 0);
    loop {
        let page = browser.get(&path).expect(200);
        seen += page.text.matches("<th role=\"rowheader\" scope=\"row\"").count();
        match next_page(&page) {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(seen, 2500);
    Browser::new(&app).get("/audit/events.csv").expect(303);
}

fn the_legacy_page_gives_a_verdict(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let page = || browser.get("/legacy").expect(200).text;
    let fresh = page();
    assert!(fresh.contains("Not observed long enough") && fresh.contains("Not watched yet."));
    let watch = |from: i64| {
        let rows: Vec<String> = (from - 30..=from).map(|day| format!("({day}, 16777215)")).collect();
        env.store.execute(&format!(
            "DELETE FROM legacy_watch; INSERT INTO legacy_watch (day, hours) VALUES {}",
            rows.join(",")
        ));
    };
    watch(21_915);
    let never = page();
    assert!(never.contains("Safe to switch off") && never.contains("No calls on record."));
    assert!(never.contains("Every token has a value.") && never.contains("On: all requests are served"));
    assert!(
        never.contains("Watched since 2029-12-02, on 30 of the last 30 days."),
        "{never}"
    );
    app.new_legacy_token(&json!({ "name": "agent-1" }));
    for _ in 0..2 {
        app.send("GET", LEGACY, Auth::Admin, &[("user-agent", "Chef/18")], "")
            .expect(200);
    }
    let in_use = page();
    for part in [
        "Still in use",
        "3 calls in the last 30 days, the last one just now. Contact these callers first:",
        "<li>admin from 127.0.0.1: 3 calls, the last one just now</li>",
        "GET /rest/agent-config/1.0",
        "Chef/18",
        "<title>2030-01-01: 3 calls</title>",
        "<title>2029-12-03: 0 calls</title>",
        "1 token has no value yet. Rotate it before",
        "href=\"/console/audit?actor=admin\"",
        "agent-1",
    ] {
        assert!(in_use.contains(part), "{part} in {in_use}");
    }
    assert_eq!(in_use.matches("<rect class=\"ground\"").count(), 30);
    env.clock.advance(Duration::from_hours(31 * 24));
    browser.sign_in(ADMIN.0, ADMIN.1).expect(303);
    assert!(page().contains("Not observed long enough"));
    watch(21_915 + 31);
    let quiet = page();
    assert!(quiet.contains("Some tokens have no value yet") && !quiet.contains("Safe to switch off"));
    assert!(quiet.contains("No calls in the last 30 days. The last call was 1 month ago."));
    drop(browser);
    app.stop();
    let app = env.app_with(&["--legacy", "read-only", "--legacy-sunset", "2031-01-01"]);
    let browser = Browser::signed_in(&app);
    let page = browser.get("/legacy").expect(200).text;
    assert!(page.contains("Read-only: changes are refused"), "{page}");
    assert!(
        page.contains("2031-01-01 00:00:00 UTC</time> <span>Announced end"),
        "{page}"
    );
}

fn the_console_is_translated_into_korean(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let korean = [("accept-language", "ko-KR,ko;q=0.9,en;q=0.5")];
    let page = browser.send("GET", "/tokens", &korean, "").expect(200).text;
    assert!(page.contains("<html lang=\"ko\"") && page.contains("아직 생성한 토큰이 없습니다"));
    assert!(page.contains("href=\"/console/tokens?lang=en\" lang=\"en\""));
    let chosen = browser.send("GET", "/audit?channel=cli&lang=en", &korean, "");
    assert_redirects_to(&chosen, "/console/audit?channel=cli");
    let page = browser.send("GET", "/tokens", &korean, "").expect(200).text;
    assert!(page.contains("<html lang=\"en\""));
    assert_redirects_to(&browser.get("/tokens?lang=ko"), "/console/tokens");
    for path in [
        "",
        "/tokens/new",
        "/admins",
        "/account",
        "/audit",
        "/legacy",
        "/nothing",
    ] {
        let page = browser.get(path).text;
        assert!(page.contains("<html lang=\"ko\""), "{path}");
    }
    assert_redirects_to(&browser.get("/tokens?lang=xx"), "/console/tokens");
    assert!(browser.get("/tokens").expect(200).text.contains("<html lang=\"ko\""));
}

fn pages_have_a_strict_content_security_policy(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    for path in [
        "",
        "/tokens",
        "/tokens/new",
        "/admins",
        "/account",
        "/audit",
        "/legacy",
        "/nothing",
        "/audit?channel=x",
    ] {
        let page = browser.get(path);
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(page.header(name), Some(value), "{path}: {name}");
        }
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
            "{path}"
        );
        assert!(!policy.contains("unsafe"), "{path}");
        // No page contains anything that the policy forbids.
        for forbidden in [" style=", " onclick=", "<style", "javascript:"] {
            assert!(!page.text.contains(forbidden), "{path}: {forbidden}");
        }
    }
    for file in ["console.css", "console.js"] {
        let response = app.get(&app.asset("/console/sign-in", file), Auth::Anonymous);
        assert_eq!(
            response.expect(200).header("cache-control"),
            Some("public, max-age=31536000, immutable")
        );
    }
    let compressed =
        app.raw(b"GET /console/sign-in HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");
    assert!(compressed.contains("content-encoding: gzip"), "{compressed}");
    app.get("/console/assets/console.css", Auth::Anonymous).expect(404);
    app.get("/console/assets/base.html", Auth::Anonymous).expect(404);
}

fn the_console_honors_the_context_path(env: &TestEnv) {
    let app = env.app_with(&["--base-path", "/bamboo"]);
    assert_redirects_to(&app.get("", Auth::Anonymous), "/bamboo/console");
    assert_redirects_to(&app.get("/", Auth::Anonymous), "/bamboo/console");
    assert_redirects_to(
        &app.get("/console/admins", Auth::Anonymous),
        "/bamboo/console/sign-in?next=%2Fadmins",
    );
    let browser = Browser::new(&app);
    let form = browser.get("/sign-in?next=%2Fadmins").expect(200);
    assert!(form.header("set-cookie").unwrap().contains("Path=/bamboo/console"));
    let signed_in = browser.submit(&form, "/sign-in", &[("name", ADMIN.0), ("password", ADMIN.1)]);
    assert_redirects_to(&signed_in, "/bamboo/console/admins");
    for path in ["", "/tokens", "/tokens/new", "/admins", "/account", "/audit", "/legacy"] {
        let page = browser.get(path).expect(200).text;
        assert!(
            !page.contains("\"/console") && !page.contains("\"/public"),
            "{path}: {page}"
        );
    }
    let (_, value) = browser.create(&[("name", "n")]);
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    // The redirect target is below the console, regardless of the link.
    let stranger = Browser::new(&app);
    let form = stranger.get("/sign-in?next=https%3A%2F%2Fevil.example").expect(200);
    let signed_in = stranger.submit(&form, "/sign-in", &[("name", ADMIN.0), ("password", ADMIN.1)]);
    assert_redirects_to(&signed_in, "/bamboo/console");
}

fn a_locked_store_is_reported(env: &TestEnv) {
    let app = env.app_with(&["--database-timeout-seconds", "1"]);
    let browser = Browser::signed_in(&app);
    let page = browser.get("/tokens/new").expect(200);
    let response = {
        let url = env.store.url();
        let mut other: Box<dyn SimpleConnection> = match url.strip_prefix("sqlite:") {
            Some(path) => Box::new(sqlite(path)),
            None => Box::new(PgConnection::establish(&url).unwrap()),
        };
        let lock = match env.kind {
            StoreKind::Sqlite => "BEGIN IMMEDIATE",
            StoreKind::Postgres => "BEGIN; LOCK TABLE tokens",
        };
        other.batch_execute(lock).unwrap();
        browser.submit(&page, "/tokens/new", &[("name", "n")])
    };
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.header("retry-after").is_some());
    assert!(
        response
            .text
            .contains("Your change may have been saved anyway. Check before you try again."),
        "{response:?}"
    );
    browser.submit(&page, "/tokens/new", &[("name", "n")]).expect(200);
    assert_eq!(tokens(&app).len(), 1);
}
