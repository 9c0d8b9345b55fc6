//! The forms that create, edit, rotate and delete a token.

use std::time::Duration;

use serde_json::{Value, json};

use super::tokens;
use crate::{
    support::{
        ADMIN, TestEnv,
        browser::{Browser, assert_redirects_to, between, value},
        client::{Auth, TOKENS, string},
    },
    tests,
};

tests![
    a_token_can_be_created_edited_rotated_and_deleted,
    resubmitting_a_form_has_no_further_effect,
    concurrent_edits_conflict,
    a_corrected_form_still_conflicts,
    an_edit_preserves_fields_that_it_does_not_show,
    invalid_input_is_reported_and_kept,
    confirmation_ignores_collapsed_whitespace,
];

fn a_token_can_be_created_edited_rotated_and_deleted(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let empty = browser.get("/tokens").expect(200);
    assert!(
        empty.text.contains("You haven&#39;t created any tokens yet"),
        "{}",
        empty.text
    );
    let expires = env.clock.seconds_from_now(86_400 * 10);
    let (id, value) = browser.create(&[
        ("name", "deployer"),
        ("permission", "OrganizationAPITokenRead"),
        ("permission", "AlertRead"),
        ("blocks", "127.0.0.1/8\r\n10.0.0.0/8"),
        ("expires", &expires[..16]),
    ]);
    let shown = app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200).json();
    assert_eq!(
        (
            &shown["id"],
            &shown["name"],
            &shown["permissions"],
            &shown["allowedCIDRBlocks"],
            &shown["expiresAt"]
        ),
        (
            &json!(id),
            &json!("deployer"),
            &json!(["AlertRead", "OrganizationAPITokenRead"]),
            &json!(["127.0.0.0/8", "10.0.0.0/8"]),
            &json!(expires),
        )
    );
    assert_eq!(shown["createdBy"], json!({ "id": ADMIN.0, "type": "user" }));
    let list = browser.get("/tokens").expect(200).text;
    for part in [
        "deployer",
        "Read Alerts",
        "10.0.0.0/8",
        "just now",
        "Expiring",
        "in 10 days",
        "by admin",
    ] {
        assert!(list.contains(part), "{part}");
    }
    let path = format!("/tokens/{id}");
    for page in [
        list,
        browser.get(&path).expect(200).text,
        browser.get("/audit").expect(200).text,
    ] {
        assert!(!page.contains(&value));
    }

    let edited = browser.fill(
        &format!("{path}/edit"),
        &[("name", "deployer 2"), ("blocks", ""), ("expires", "")],
    );
    assert_redirects_to(&edited, "/console/tokens?done=changed");
    let shown = app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(200).json();
    assert_eq!(
        (
            &shown["name"],
            &shown["permissions"],
            &shown["allowedCIDRBlocks"],
            &shown["expiresAt"]
        ),
        (&json!("deployer 2"), &json!([]), &json!([]), &Value::Null)
    );

    let rotated = browser
        .fill(&format!("{path}/rotate"), &[("grace", "3600")])
        .expect(200);
    assert!(
        rotated
            .text
            .contains("The old value works until 2030-01-01 01:00:00 UTC.")
    );
    let second = self::value(&rotated);
    for works in [&value, &second] {
        app.get(&format!("{TOKENS}/self"), Auth::Key(works)).expect(200);
    }
    let rotated = browser.fill(&format!("{path}/rotate"), &[("grace", "0")]).expect(200);
    let third = self::value(&rotated);
    for ended in [&value, &second] {
        app.get(&format!("{TOKENS}/self"), Auth::Key(ended)).expect(401);
    }
    browser.fill(&format!("{path}/rotate"), &[("grace", "5")]).expect(403);

    let wrong = browser
        .fill(&format!("{path}/delete"), &[("confirm", "deployer")])
        .expect(400);
    assert!(wrong.text.contains("That is not the name of this token."));
    app.get(&format!("{TOKENS}/self"), Auth::Key(&third)).expect(200);
    let gone = browser.fill(&format!("{path}/delete"), &[("confirm", " deployer 2 ")]);
    assert_redirects_to(&gone, "/console/tokens?done=deleted");
    app.get(&format!("{TOKENS}/self"), Auth::Key(&third)).expect(401);
    let gone = browser.get(&path).expect(410);
    assert!(gone.text.contains("This token was deleted just now by admin."));

    assert_recorded(env, &["created", "updated", "rotated", "rotated", "deleted"]);
}

/// Requires that these are all events about tokens, each from the console.
fn assert_recorded(env: &TestEnv, actions: &[&str]) {
    let channels = "SELECT action || ' ' || channel || ' ' || client AS found FROM audit_events WHERE token_id IS NOT NULL ORDER BY seq";
    let expected = actions.iter().map(|action| format!("token.{action} console 127.0.0.1"));
    assert_eq!(env.store.texts(channels), expected.collect::<Vec<_>>());
}

fn resubmitting_a_form_has_no_further_effect(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let page = browser.get("/tokens/new").expect(200);
    let send = || browser.submit(&page, "/tokens/new", &[("name", "once")]);
    let first = send().expect(200);
    let again = send();
    let [token] = &tokens(&app)[..] else {
        panic!("not one token")
    };
    let path = format!("/tokens/{}", string(&token["id"]));
    assert_redirects_to(&again, &format!("/console{path}?seen=made"));
    let response = browser.get(&format!("{path}?seen=made")).expect(200);
    assert!(response.text.contains("This token already exists.") && !response.text.contains(&value(&first)));
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value(&first)))
        .expect(200);
    // A form that is loaded again creates another token.
    browser.create(&[("name", "once")]);
    assert_eq!(tokens(&app).len(), 2);

    let page = browser.get(&format!("{path}/rotate")).expect(200);
    let send = || browser.submit(&page, &format!("{path}/rotate"), &[("grace", "0")]);
    let rotated = send().expect(200);
    assert_redirects_to(&send(), &format!("/console{path}?seen=rotated"));
    assert!(
        browser
            .get(&format!("{path}?seen=rotated"))
            .expect(200)
            .text
            .contains("This token has changed since you opened the page, so it was not rotated.")
    );
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value(&rotated)))
        .expect(200);

    let page = browser.get(&format!("{path}/delete")).expect(200);
    let send = || browser.submit(&page, &format!("{path}/delete"), &[("confirm", "once")]);
    send().expect(303);
    send().expect(404);
    assert_eq!(tokens(&app).len(), 1);
}

fn concurrent_edits_conflict(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "shared" }));
    let path = format!("/tokens/{id}/edit");
    let (one, other) = (Browser::signed_in(&app), Browser::signed_in(&app));
    let pages = [one.get(&path).expect(200), other.get(&path).expect(200)];
    one.submit(&pages[0], &path, &[("name", "of the first")]).expect(303);
    let response = other.submit(&pages[1], &path, &[("name", "of the second")]).expect(409);
    for part in [
        "This token changed while you were editing it.",
        "Changed just now by admin",
        "<td class=\"lines-kept\">of the first</td><td class=\"lines-kept\">of the second</td>",
        // The form keeps what was typed, and saves it over the new version.
        "value=\"of the second\"",
    ] {
        assert!(response.text.contains(part), "{part} in {}", response.text);
    }
    assert_eq!(tokens(&app)[0]["name"], "of the first");
    other.submit(&response, &path, &[("name", "of the second")]).expect(303);
    assert_eq!(tokens(&app)[0]["name"], "of the second");
    // The same changes do not conflict.
    let again = one.submit(&pages[0], &path, &[("name", "of the second")]);
    assert_redirects_to(&again, "/console/tokens?done=changed");
    // A page that was loaded before a change cannot rotate the token either.
    let rotation = format!("/tokens/{id}/rotate");
    let page = one.get(&rotation).expect(200);
    other.fill(&path, &[("name", "of the second again")]).expect(303);
    let refused = one.submit(&page, &rotation, &[("grace", "0")]);
    assert_redirects_to(&refused, &format!("/console/tokens/{id}?seen=rotated"));
}

fn a_corrected_form_still_conflicts(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "shared" }));
    let path = format!("/tokens/{id}/edit");
    let browser = Browser::signed_in(&app);
    let page = browser.get(&path).expect(200);
    app.post(
        &format!("{TOKENS}/{id}"),
        Auth::Admin,
        &json!({ "permissions": ["AlertRead"] }),
    )
    .expect(200);
    let response = browser
        .submit(&page, &path, &[("name", "renamed"), ("blocks", "x")])
        .expect(400);
    browser.submit(&response, &path, &[("name", "renamed")]).expect(409);
    assert_eq!(tokens(&app)[0]["permissions"], json!(["AlertRead"]));
}

fn an_edit_preserves_fields_that_it_does_not_show(env: &TestEnv) {
    let app = env.app();
    let expires = env.clock.seconds_from_now(60).replace('Z', ".123456Z");
    let body = json!({ "name": " spaced ", "permissions": ["UserRead"], "allowedCIDRBlocks": ["10.0.0.0/8"], "expiresAt": expires });
    let (id, value) = app.new_token(&body);
    let browser = Browser::signed_in(&app);
    let path = format!("/tokens/{id}/edit");
    let same = |name: &'static str| {
        let page = browser.get(&path).expect(200);
        let written = between(&page.text, "type=\"datetime-local\" step=\"1\" value=\"", "\"");
        assert_eq!(written, &expires[..19]);
        let fields = [
            ("name", name),
            ("permission", "UserRead"),
            ("blocks", "10.0.0.0/8"),
            ("expires", &written),
        ];
        browser.submit(&page, &path, &fields).expect(303);
        app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(200).json()
    };
    let before = app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(200).json();
    let mut after = same(" spaced ");
    for field in ["updatedAt", "updatedBy"] {
        after.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(after, before);
    // An expired token can be renamed, and stays expired.
    env.clock.advance(Duration::from_mins(2));
    assert_eq!(same("renamed")["expiresAt"], json!(expires));
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(401);
}

fn invalid_input_is_reported_and_kept(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let fields = [
        ("name", "  "),
        ("permission", "AlertRead"),
        ("blocks", "10.0.0.0/8 8.8.8.8"),
        ("expires", "2029-12-31T23:59"),
    ];
    let page = browser.get("/tokens/new").expect(200);
    let response = browser.submit(&page, "/tokens/new", &fields).expect(400);
    for part in [
        "Not saved yet. Correct the following:",
        "Name: enter at least one visible character.",
        "8.8.8.8 is not a CIDR block; use 8.8.8.8/32.",
        "Enter a time in the future.",
        "value=\"  \"",
        "10.0.0.0/8 8.8.8.8</textarea>",
        "value=\"2029-12-31T23:59\"",
        "value=\"AlertRead\" checked",
    ] {
        assert!(response.text.contains(part), "{part} in {}", response.text);
    }
    for (field, wrong) in [
        ("expires", "tomorrow"),
        ("permission", "AlertRaed"),
        ("name", &"x".repeat(256)),
    ] {
        let page = browser.get("/tokens/new").expect(200);
        let mut fields = vec![("name", "n"), (field, wrong)];
        if field == "name" {
            fields.remove(0);
        }
        browser.submit(&page, "/tokens/new", &fields).expect(400);
    }
    assert!(tokens(&app).is_empty());
    // The corrected form is accepted.
    let right = browser.submit(&response, "/tokens/new", &[("name", "n")]);
    right.expect(200);
    let large = browser.submit(&page, "/tokens/new", &[("name", &"x".repeat(70_000))]);
    assert!(
        large
            .expect(413)
            .text
            .contains("<h1>This request cannot be handled</h1>")
    );
    let json = [("content-type", "application/json")];
    browser.send("POST", "/tokens/new", &json, "{}").expect(415);
    browser.send("PUT", "/tokens", &[], "").expect(405);
    for (field, wrong) in [("preset", "all"), ("expiry", "31")] {
        browser
            .submit(&page, "/tokens/new", &[("name", "n"), (field, wrong)])
            .expect(403);
    }
    browser.get("/tokens/self").expect(404);
    browser.get("/nothing").expect(404);
    browser.get("/audit/events.xml").expect(404);
}

fn confirmation_ignores_collapsed_whitespace(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let (id, _) = browser.create(&[("name", "two  blanks\u{a0} ")]);
    let path = format!("/tokens/{id}/delete");
    for wrong in ["", " ", "twoblanks", "two"] {
        browser.fill(&path, &[("confirm", wrong)]).expect(400);
    }
    browser.fill(&path, &[("confirm", "two blanks")]).expect(303);
}
