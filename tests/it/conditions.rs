//! Entity tags and conditional requests (RFC 9110, sections 8.8.3 and 13).

use serde_json::{Value, json};

use crate::{
    support::{
        READ, TestApp, TestEnv,
        client::{Auth, LEGACY, Response, TOKENS},
    },
    tests,
};

tests![
    the_entity_tag_changes_with_every_change_and_not_with_a_use,
    legacy_responses_have_no_entity_tag,
    changes_need_a_matching_entity_tag,
    only_strong_tags_of_the_token_match,
    other_refusals_precede_the_precondition,
    a_known_state_is_not_sent_again,
];

const UNKNOWN: &str = "/api-tokens/7ba167aa-631c-4771-b197-fcb459cc7fd7";

fn path(id: &str) -> String {
    format!("{TOKENS}/{id}")
}

#[track_caller]
fn etag(response: &Response) -> String {
    let tag = response
        .header("etag")
        .unwrap_or_else(|| panic!("no ETag: {response:?}"));
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{tag}");
    tag.to_owned()
}

/// Sends a request with a body, if it has one, and conditions.
fn send(
    app: &TestApp,
    method: &str,
    path: &str,
    auth: Auth<'_>,
    conditions: &[(&str, &str)],
    body: &Value,
) -> Response {
    let headers = [conditions, &[("content-type", "application/json")]].concat();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    app.send(method, path, auth, &headers, &body)
}

/// The changes of a token: the method, the path after the token's, and the body.
fn changes() -> [(&'static str, &'static str, Value); 3] {
    [
        ("POST", "", json!({ "name": "m" })),
        ("POST", "/rotate", json!({})),
        ("DELETE", "", Value::Null),
    ]
}

fn the_entity_tag_changes_with_every_change_and_not_with_a_use(env: &TestEnv) {
    let app = env.app();
    let created = app.post(TOKENS, Auth::Admin, &json!({ "name": "n" })).expect(200);
    let (id, value) = (created.json()["id"].clone(), created.json()["value"].clone());
    let (id, value) = (id.as_str().unwrap(), value.as_str().unwrap());
    let mut tags = vec![etag(&created)];
    let current = || {
        // A use, which some of the changes refuse.
        let own = app.get(&path("self"), Auth::Key(value));
        let [get, head] = [
            app.get(&path(id), Auth::Admin).expect(200),
            app.send("HEAD", &path(id), Auth::Admin, &[], "").expect(200),
        ];
        let tag = etag(&get);
        assert_eq!(etag(&head), tag);
        assert!(own.status == 401 || etag(&own) == tag, "{own:?}");
        tag
    };
    assert_eq!(current(), tags[0]);
    let updates = [
        json!({ "name": "m" }),
        json!({ "description": "d" }),
        json!({ "permissions": [READ] }),
        json!({ "owner": "o" }),
        json!({ "expiresAt": env.clock.seconds_from_now(600) }),
        json!({ "disabled": true }),
        json!({ "disabled": false }),
        json!({ "allowedCIDRBlocks": ["192.0.2.0/24"] }),
        json!({ "allowedCIDRBlocks": [] }),
        json!({ "expiresAt": null }),
    ];
    for body in updates {
        tags.push(etag(&app.post(&path(id), Auth::Admin, &body).expect(200)));
        assert_eq!(Some(&current()), tags.last());
        let again = app.post(&path(id), Auth::Admin, &body).expect(200);
        assert_eq!(Some(&etag(&again)), tags.last(), "{body}");
    }
    let grace = json!({ "gracePeriodSeconds": 60 });
    tags.push(etag(
        &app.post(&format!("{}/rotate", path(id)), Auth::Admin, &grace)
            .expect(200),
    ));
    assert_eq!(Some(&current()), tags.last());
    app.put(&format!("{LEGACY}/{id}"), Auth::Admin, &json!({ "change": true }))
        .expect(200);
    tags.push(current());
    let number = tags.len();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), number);
}

fn legacy_responses_have_no_entity_tag(env: &TestEnv) {
    let app = env.app();
    let uuid = app.new_legacy_token(&json!({ "name": "n" }));
    let path = format!("{LEGACY}/{uuid}");
    for response in [
        app.get(&path, Auth::Admin),
        app.put(&path, Auth::Admin, &json!({ "read": true })),
        send(
            &app,
            "PUT",
            &path,
            Auth::Admin,
            &[("if-match", "\"x\"")],
            &json!({ "read": false }),
        ),
    ] {
        assert_eq!(response.expect(200).header("etag"), None);
    }
}

fn changes_need_a_matching_entity_tag(env: &TestEnv) {
    let app = env.app();
    for (method, behind, body) in changes() {
        let first = app.post(TOKENS, Auth::Admin, &json!({ "name": "n" })).expect(200);
        let id = first.json()["id"].as_str().unwrap().to_owned();
        let stale = etag(&first);
        let described = app.post(&path(&id), Auth::Admin, &json!({ "owner": "o" })).expect(200);
        let current = etag(&described);
        let target = format!("{}{behind}", path(&id));
        let refused = send(&app, method, &target, Auth::Admin, &[("if-match", &stale)], &body).expect(412);
        assert!(refused.message().contains("has changed"), "{refused:?}");
        assert_eq!(
            etag(&app.get(&path(&id), Auth::Admin).expect(200)),
            current,
            "{method} {behind}"
        );
        let both = format!("{stale} , {current}");
        let done = send(&app, method, &target, Auth::Admin, &[("if-match", &both)], &body);
        assert!([200, 204].contains(&done.status), "{done:?}");
        if method != "DELETE" {
            let again = send(&app, method, &target, Auth::Admin, &[("if-match", &current)], &body);
            again.expect(412);
            send(&app, method, &target, Auth::Admin, &[("if-match", "*")], &body).expect(200);
        }
    }
}

fn only_strong_tags_of_the_token_match(env: &TestEnv) {
    let app = env.app();
    let [one, other] = ["a", "b"].map(|name| app.post(TOKENS, Auth::Admin, &json!({ "name": name })).expect(200));
    let target = path(one.json()["id"].as_str().unwrap());
    let (own, rename) = (etag(&one), json!({ "name": "m" }));
    let weak = format!("W/{own}");
    for wrong in [&*etag(&other), &weak, own.trim_matches('"'), "\"\"", "\"1\"", "", "**"] {
        send(&app, "POST", &target, Auth::Admin, &[("if-match", wrong)], &rename).expect(412);
    }
    let lines = [("if-match", "\"x\""), ("if-match", own.as_str())];
    send(&app, "POST", &target, Auth::Admin, &lines, &rename).expect(200);
}

fn other_refusals_precede_the_precondition(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "n", "permissions": ["AlertRead"] }));
    let (_, reader) = app.new_token(&json!({ "name": "reader", "permissions": [READ] }));
    let stale = [("if-match", "\"stale\"")];
    for (method, behind, body) in changes() {
        let target = format!("{}{behind}", path(&id));
        let unknown = format!("{UNKNOWN}{behind}");
        send(&app, method, &target, Auth::Key("tbk_x"), &stale, &body).expect(401);
        send(&app, method, &target, Auth::Key(&reader), &stale, &body).expect(403);
        send(&app, method, &unknown, Auth::Admin, &stale, &body).expect(404);
        send(&app, method, &unknown, Auth::Admin, &[("if-match", "*")], &body).expect(404);
        send(&app, method, &target, Auth::Admin, &stale, &body).expect(412);
    }
}

fn a_known_state_is_not_sent_again(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let stale = etag(&app.get(&path(&id), Auth::Admin).expect(200));
    app.post(&path(&id), Auth::Admin, &json!({ "name": "m" })).expect(200);
    let current = etag(&app.get(&path(&id), Auth::Admin).expect(200));
    let (weak, both) = (format!("W/{current}"), format!("{stale}, {current}"));
    for (target, auth) in [(path(&id), Auth::Admin), (path("self"), Auth::Key(&value))] {
        for method in ["GET", "HEAD"] {
            for known in [&*current, &weak, &both, "*"] {
                let response = app
                    .send(method, &target, auth, &[("if-none-match", known)], "")
                    .expect(304);
                assert_eq!((etag(&response), &*response.text), (current.clone(), ""));
            }
            for unknown in [&*stale, "\"x\"", "", current.trim_matches('"')] {
                let response = app
                    .send(method, &target, auth, &[("if-none-match", unknown)], "")
                    .expect(200);
                assert_eq!(etag(&response), current);
            }
        }
    }
    let known = [("if-none-match", "*")];
    app.send("GET", UNKNOWN, Auth::Admin, &known, "").expect(404);
    app.send("GET", &path(&id), Auth::Anonymous, &known, "").expect(401);
}
