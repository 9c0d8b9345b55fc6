//! The page of a token, and what it tells before a token is rotated or deleted.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    support::{
        ADMIN, READ, TestApp, TestEnv,
        browser::{Browser, assert_redirects_to, between, hidden_fields, value},
        client::{Auth, TOKENS},
        wait_until,
    },
    tests,
};

tests![
    the_page_shows_what_is_known_about_a_token,
    presets_grant_and_expire_as_they_say,
    a_deleted_token_keeps_its_page,
    an_earlier_value_can_be_ended,
    a_token_in_use_is_marked_and_gets_a_day_of_grace,
    actions_return_to_where_they_started,
];

const DAY: Duration = Duration::from_hours(24);

fn proxied(env: &TestEnv) -> TestApp {
    env.app_with(&["--trusted-proxy", "127.0.0.1"])
}

fn use_at_gate(app: &TestApp, value: &str, client: &str) -> u16 {
    let headers = [("X-Original-Method", "GET"), ("X-Forwarded-For", client)];
    app.send("GET", "/verify", Auth::Key(value), &headers, "").status
}

#[track_caller]
fn assert_shows(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "{part} in {page}");
    }
}

fn the_page_shows_what_is_known_about_a_token(env: &TestEnv) {
    let app = proxied(env);
    let browser = Browser::signed_in(&app);
    let (id, value) = app.new_token(&json!({
        "name": "deployer", "permissions": [READ, "DestinationRead"], "allowedCIDRBlocks": ["10.0.0.0/8"],
        "description": "rolls out\nreleases", "owner": "build team", "expiresAt": env.clock.seconds_from_now(86_400 * 400),
    }));
    assert_eq!(use_at_gate(&app, &value, "10.0.0.7"), 200);
    env.clock.advance(DAY * 2);
    browser.sign_in(ADMIN.0, ADMIN.1).expect(303);
    for _ in 0..3 {
        assert_eq!(use_at_gate(&app, &value, "10.0.0.8"), 200);
    }
    assert_eq!(use_at_gate(&app, &value, "192.0.2.1"), 401);
    let page = browser.get(&format!("/tokens/{id}")).expect(200).text;
    let short = format!("<code title=\"{id}\">{}</code>", &id[..8]);
    assert_shows(
        &page,
        &[
            "<h1>deployer</h1>",
            &short,
            "rolls out\nreleases",
            "build team",
            "<code>10.0.0.0/8</code>",
            "<li lang=\"en\" title=\"DestinationRead\">View Destinations</li>",
            "from 10.0.0.8 · via Gate (/verify)",
            "<small data-utc-time=\"2030-01-03T00:00:00Z\">2030-01-03 00:00:00 UTC</small>",
            "<title>2030-01-03: 3 uses</title>",
            "<title>2030-01-02: 0 uses</title>",
            "4 uses in 90 days. Busiest day: 2030-01-03, 3 uses.",
            "<th scope=\"row\">2030-01-01</th><td class=\"number\">1</td>",
            "Address outside the allowed networks",
            "<code>192.0.2.1</code>",
            "title=\"token.created\"",
            &format!("/console/audit?token={id}"),
        ],
    );
    assert!(!page.contains(&value) && !page.contains("Earlier values"));
}

fn presets_grant_and_expire_as_they_say(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let form = browser.get("/tokens/new").expect(200).text;
    assert_shows(
        &form,
        &[
            "2030-01-08</time>",
            "2030-01-31</time>",
            "2030-04-01</time>",
            "2031-01-01</time>",
        ],
    );
    let manage = json!(["OrganizationAPITokenModify", READ]);
    for (preset, expiry, permissions, expires_at) in [
        ("none", "never", json!([]), Value::Null),
        ("read", "90", json!([READ]), json!("2030-04-01T00:00:00Z")),
        ("change", "365", manage, json!("2031-01-01T00:00:00Z")),
        ("custom", "at", json!(["AlertRead"]), json!("2030-02-03T04:05:00Z")),
    ] {
        let fields = [
            ("name", preset),
            ("preset", preset),
            ("permission", "AlertRead"),
            ("expiry", expiry),
            ("expires", "2030-02-03T04:05"),
        ];
        let (id, _) = browser.create(&fields);
        let token = app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(200).json();
        assert_eq!(
            (&token["permissions"], &token["expiresAt"]),
            (&permissions, &expires_at),
            "{preset}"
        );
        let form = browser.get(&format!("/tokens/{id}/edit")).expect(200).text;
        let chosen = between(&form, &format!("name=\"preset\" value=\"{preset}\""), ">");
        assert!(chosen.ends_with(" checked"), "{preset}: {chosen}");
        let kept = if expiry == "never" { "never" } else { "at" };
        assert_shows(&form, &[&format!("name=\"expiry\" value=\"{kept}\" checked")]);
    }
    let page = browser.get("/tokens/new").expect(200);
    let undated = [("name", "n"), ("expiry", "at"), ("expires", "")];
    let refused = browser.submit(&page, "/tokens/new", &undated).expect(400);
    assert_shows(&refused.text, &["Enter a time in the future."]);
}

fn a_deleted_token_keeps_its_page(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let fields = [
        ("name", "short-lived"),
        ("owner", "build team"),
        ("permission", "AlertRead"),
    ];
    let (id, _) = browser.create(&fields);
    let (revoked, value) = app.new_token(&json!({ "name": "leaked" }));
    let path = format!("/tokens/{id}");
    browser
        .fill(&format!("{path}/delete"), &[("confirm", "short-lived")])
        .expect(303);
    env.clock.advance(Duration::from_mins(5));
    let page = browser.get(&path).expect(410).text;
    assert_shows(
        &page,
        &[
            "<h1>short-lived</h1>",
            "This token was deleted 5 minutes ago by admin.",
            "build team",
            "<li lang=\"en\">Read Alerts</li>",
            "title=\"token.deleted\"",
            "title=\"token.created\"",
        ],
    );
    let form = [("content-type", "application/x-www-form-urlencoded")];
    app.send("POST", "/revoke", Auth::Anonymous, &form, &format!("token={value}"))
        .expect(200);
    let page = browser.get(&format!("/tokens/{revoked}")).expect(410).text;
    assert_shows(
        &page,
        &["<h1>leaked</h1>", "This token was deleted just now by a token."],
    );
    browser.get("/tokens/7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0").expect(404);
    browser.get(&format!("{path}/edit")).expect(404);
}

fn an_earlier_value_can_be_ended(env: &TestEnv) {
    let (app, other) = (env.app(), env.app());
    let browser = Browser::signed_in(&app);
    let (id, first) = browser.create(&[("name", "rotated"), ("permission", READ)]);
    let path = format!("/tokens/{id}");
    let rotate = |grace: &str| {
        let rotated = browser.fill(&format!("{path}/rotate"), &[("grace", grace)]);
        value(&rotated.expect(200))
    };
    let second = rotate("3600");
    let third = rotate("86400");
    let get_self = |app: &TestApp, key: &str| app.get(&format!("{TOKENS}/self"), Auth::Key(key)).status;
    for key in [&first, &second, &third] {
        assert_eq!((get_self(&app, key), get_self(&other, key)), (200, 200));
    }
    let page = browser.get(&path).expect(200);
    assert_shows(
        &page.text,
        &["Earlier values", "2030-01-01 01:00:00 UTC", "2030-01-02 00:00:00 UTC"],
    );
    assert_eq!(page.text.matches("/end-grace\"").count(), 2);
    // The first one ends first.
    let fingerprint = between(&page.text, "name=\"value\" value=\"", "\"");
    assert_eq!(fingerprint.len(), 16);
    let key = hidden_fields(&page.text).remove(0);
    let end = |fingerprint: &str| {
        let fields = [key.clone(), ("value".to_owned(), fingerprint.to_owned())];
        browser.post(&format!("{path}/end-grace"), &fields)
    };
    assert_redirects_to(&end(&fingerprint), &format!("/console{path}?done=grace-ended"));
    assert_eq!(get_self(&app, &first), 401);
    assert_eq!((get_self(&app, &second), get_self(&app, &third)), (200, 200));
    wait_until("the other server refuses it", || {
        (get_self(&other, &first) == 401).then_some(())
    });
    assert_eq!(get_self(&other, &second), 200);
    let events = app
        .get(&format!("/audit-events?tokenId={id}"), Auth::Admin)
        .expect(200)
        .json();
    assert_eq!(
        (
            &events["results"][0]["action"],
            &events["results"][0]["details"]["deleted"]
        ),
        (&json!("token.revoked"), &json!(false))
    );
    // Ending it again changes nothing, and the other one ends by itself.
    end(&fingerprint).expect(303);
    let after = app
        .get(&format!("/audit-events?tokenId={id}"), Auth::Admin)
        .expect(200)
        .json();
    assert_eq!(
        after["results"].as_array().unwrap().len(),
        events["results"].as_array().unwrap().len()
    );
    let page = browser.get(&path).expect(200).text;
    assert_eq!(page.matches("/end-grace\"").count(), 1);
    env.clock.advance(DAY);
    browser.sign_in(ADMIN.0, ADMIN.1).expect(303);
    assert!(!browser.get(&path).expect(200).text.contains("Earlier values"));
}

fn a_token_in_use_is_marked_and_gets_a_day_of_grace(env: &TestEnv) {
    let app = proxied(env);
    let browser = Browser::signed_in(&app);
    let (id, value) = app.new_token(&json!({ "name": "n", "permissions": [READ], "owner": "build team" }));
    let path = |action: &str| format!("/tokens/{id}/{action}");
    let suggested = |page: &str| {
        let (before, _) = page.split_once("\" selected>").unwrap();
        before.rsplit_once("<option value=\"").unwrap().1.to_owned()
    };
    let rotate = browser.get(&path("rotate")).expect(200).text;
    assert_shows(
        &rotate,
        &[
            "<p>Never used.</p>",
            "build team",
            "by admin",
            &id[..8],
            ">Rotate</button>",
        ],
    );
    assert_eq!(suggested(&rotate), "0");
    assert_eq!(use_at_gate(&app, &value, "10.0.0.7"), 200);
    env.clock.advance(Duration::from_mins(3));
    let sentence = "<p class=\"warning\">Used 3 minutes ago from 10.0.0.7.</p>";
    let rotate = browser.get(&path("rotate")).expect(200).text;
    assert_shows(&rotate, &[sentence]);
    assert_eq!(suggested(&rotate), "86400");
    let delete = browser.get(&path("delete")).expect(200).text;
    assert_shows(&delete, &[sentence, "build team", &id[..8], ">Delete token</button>"]);
    env.clock.advance(DAY);
    browser.sign_in(ADMIN.0, ADMIN.1).expect(303);
    let later = browser.get(&path("rotate")).expect(200).text;
    assert_shows(&later, &["<p>Used 1 day ago from 10.0.0.7.</p>"]);
    assert_eq!(suggested(&later), "0");
}

fn actions_return_to_where_they_started(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    let list = "back=%2Ftokens%3Fshow%3Dactive";
    let page = browser.get(&format!("/tokens/{id}?{list}")).expect(200);
    assert_shows(
        &page.text,
        &[
            "<a href=\"/console/tokens?show=active\">Back to the list</a>",
            &format!("/console/tokens/{id}/delete?{list}"),
            &format!("/console/tokens/{id}/edit?back=%2Ftokens%2F{id}"),
        ],
    );
    for (action, done) in [("disable", "disabled"), ("enable", "enabled")] {
        let done = format!("/console/tokens/{id}?done={done}");
        assert_redirects_to(&browser.submit(&page, &format!("/tokens/{id}/{action}"), &[]), &done);
    }
    let shown = browser
        .get(&format!("/tokens/{id}?done=disabled&from=elsewhere"))
        .expect(200)
        .text;
    assert_shows(&shown, &["The token has been disabled."]);
    let form = browser.get(&format!("/tokens/{id}/edit?{list}")).expect(200);
    let saved = browser.submit(&form, &format!("/tokens/{id}/edit"), &[("name", "renamed")]);
    assert_redirects_to(&saved, "/console/tokens?show=active&done=changed");
    let form = browser.get(&format!("/tokens/{id}/delete?{list}")).expect(200);
    let deleted = browser.submit(&form, &format!("/tokens/{id}/delete"), &[("confirm", "renamed")]);
    assert_redirects_to(&deleted, "/console/tokens?show=active&done=deleted");
}
