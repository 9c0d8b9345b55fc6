//! Forms that are submitted after their session has ended.

use std::time::Duration;

use serde_json::json;

use super::tokens;
use crate::{
    support::{
        ADMIN, TestEnv,
        browser::{Browser, assert_redirects_to, hidden_fields},
        client::{Auth, TOKENS},
    },
    tests,
};

tests![
    a_form_is_shown_again_after_the_next_sign_in,
    an_edit_is_resumed_with_its_version,
    contents_from_elsewhere_are_not_held,
    a_form_of_an_earlier_session_is_shown_again,
    pages_say_when_the_session_ends,
];

const IDLE: Duration = Duration::from_mins(30);
const SIGN_IN: [(&str, &str); 2] = [("name", ADMIN.0), ("password", ADMIN.1)];

fn a_form_is_shown_again_after_the_next_sign_in(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let page = browser.get("/tokens/new").expect(200);
    env.clock.advance(IDLE);
    let fields = [
        ("name", "kept & \"quoted\""),
        ("description", "a\r\n=b"),
        ("preset", "custom"),
        ("permission", "AlertRead"),
        ("permission", "RuleRead"),
        ("expiry", "90"),
        ("blocks", "10.0.0.0/8"),
    ];
    let held = browser.submit(&page, "/tokens/new", &fields).expect(403);
    for part in ["Your session has ended.", "What you entered is kept"] {
        assert!(held.text.contains(part), "{part} in {}", held.text);
    }
    let wrong = [("name", ADMIN.0), ("password", "wrong")];
    let held = browser.submit(&held, "/sign-in", &wrong).expect(403);
    let form = browser.submit(&held, "/sign-in", &SIGN_IN).expect(200);
    for part in [
        "nothing has been saved",
        "data-address=\"/console/tokens/new\"",
        "value=\"kept &#38; &#34;quoted&#34;\"",
        "\na\n=b</textarea>",
        "value=\"AlertRead\" checked",
        "value=\"RuleRead\" checked",
        "value=\"90\" checked",
        "10.0.0.0/8</textarea>",
    ] {
        assert!(form.text.contains(part), "{part} in {}", form.text);
    }
    assert!(tokens(&app).is_empty(), "nothing was executed");
    browser.submit(&form, "/tokens/new", &fields).expect(200);
    assert_eq!(tokens(&app)[0]["permissions"], json!(["AlertRead", "RuleRead"]));
}

fn an_edit_is_resumed_with_its_version(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    let path = format!("/tokens/{id}/edit");
    let browser = Browser::signed_in(&app);
    let page = browser
        .get(&format!("{path}?back=%2Ftokens%3Fshow%3Dactive"))
        .expect(200);
    env.clock.advance(IDLE);
    let held = browser.submit(&page, &path, &[("name", "mine")]).expect(403);
    app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &json!({ "name": "theirs" }))
        .expect(200);
    let form = browser.submit(&held, "/sign-in", &SIGN_IN).expect(200);
    assert!(form.text.contains("value=\"mine\""), "{}", form.text);
    let conflict = browser.submit(&form, &path, &[("name", "mine")]).expect(409);
    let saved = browser.submit(&conflict, &path, &[("name", "mine")]);
    assert_redirects_to(&saved, "/console/tokens?show=active&done=changed");
    // The form of a token that was deleted meanwhile cannot be shown.
    let page = browser.get(&path).expect(200);
    env.clock.advance(IDLE);
    let held = browser.submit(&page, &path, &[("name", "again")]).expect(403);
    app.delete(&format!("{TOKENS}/{id}"), Auth::Admin).expect(204);
    let response = browser.submit(&held, "/sign-in", &SIGN_IN);
    assert_redirects_to(&response, &format!("/console{path}"));
    assert!(browser.is_signed_in());
}

fn contents_from_elsewhere_are_not_held(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let stranger = Browser::signed_in(&app);
    let of_stranger = hidden_fields(&stranger.get("/tokens/new").expect(200).text);
    let own = hidden_fields(&browser.get("/tokens/new").expect(200).text);
    env.clock.advance(IDLE);
    for (sender, fields) in [
        (&browser, of_stranger),
        (&browser, Vec::new()),
        (&Browser::new(&app), own),
    ] {
        let response = sender.post("/tokens/new", &fields);
        assert_eq!(response.status, 303, "{response:?}");
        assert!(response.header("location").unwrap().starts_with("/console/sign-in"));
    }
}

fn a_form_of_an_earlier_session_is_shown_again(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let page = browser.get("/tokens/new").expect(200);
    // The admin signs in again, in another window.
    env.clock.advance(IDLE);
    browser.sign_in(ADMIN.0, ADMIN.1).expect(303);
    let fields = [("name", "kept")];
    browser.submit(&page, "/tokens/new", &fields).expect(403);
    let mut all = hidden_fields(&page.text);
    all.push(("name".to_owned(), "kept".to_owned()));
    let body: Vec<_> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let send = |site: &str| {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("sec-fetch-site", site),
        ];
        browser.send("POST", "/tokens/new", &headers, &body.join("&"))
    };
    for site in ["cross-site", "same-site"] {
        send(site).expect(403);
    }
    let form = send("same-origin").expect(200);
    assert!(form.text.contains("value=\"kept\"") && form.text.contains("nothing has been saved"));
    assert!(tokens(&app).is_empty());
    browser.submit(&form, "/tokens/new", &fields).expect(200);
    assert_eq!(tokens(&app).len(), 1);
}

fn pages_say_when_the_session_ends(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    assert!(
        browser
            .get("/tokens")
            .expect(200)
            .text
            .contains("data-session-end=\"1800\"")
    );
    for _ in 0..24 {
        env.clock.advance(Duration::from_mins(28));
        assert_eq!(browser.get("/session").expect(200).text, "1800");
    }
    // 11:40 after the sign-in.
    env.clock.advance(Duration::from_mins(28));
    assert_eq!(browser.get("/session").expect(200).text, "1200");
    env.clock.advance(Duration::from_mins(20));
    browser.get("/session").expect(303);
    assert!(!browser.get("/sign-in").expect(200).text.contains("data-session-end"));
}
