//! `Idempotency-Key` on create and rotate.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    support::{
        MODIFY, READ, TestApp, TestEnv,
        client::{Auth, LEGACY, Response, TOKENS, string},
    },
    tests,
};

tests![
    a_repeated_create_returns_the_same_token_with_a_fresh_value,
    a_repeated_rotation_keeps_the_grace_period_of_the_old_value,
    a_value_that_was_presented_is_not_replaced,
    a_value_that_was_looked_up_is_not_replaced,
    a_value_that_was_rotated_since_is_not_replaced,
    a_repetition_after_a_deletion_is_a_conflict,
    another_payload_is_refused,
    a_refused_request_is_not_remembered,
    keys_belong_to_their_caller_and_operation,
    rights_are_checked_again,
    a_key_expires_after_a_day,
    malformed_keys_are_refused_and_ignored_elsewhere,
    concurrent_requests_with_one_key_create_one_token,
    a_repetition_is_an_audit_event,
];

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

fn post(app: &TestApp, path: &str, auth: Auth<'_>, key: &str, body: &Value) -> Response {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    app.send("POST", path, auth, &headers, &body.to_string())
}

fn create(app: &TestApp, key: &str) -> Response {
    post(
        app,
        TOKENS,
        Auth::Admin,
        key,
        &json!({ "name": "n", "permissions": [] }),
    )
}

fn rotate(app: &TestApp, id: &str, key: &str, body: &Value) -> Response {
    post(app, &format!("{TOKENS}/{id}/rotate"), Auth::Admin, key, body)
}

fn value_of(response: Response) -> String {
    string(&response.expect(200).json()["value"])
}

fn status_of(app: &TestApp, value: &str) -> u16 {
    app.get(&format!("{TOKENS}/self"), Auth::Key(value)).status
}

fn count(env: &TestEnv, table: &str) -> String {
    env.store
        .texts(&format!("SELECT count(*) || '' AS found FROM {table}"))
        .remove(0)
}

fn a_repeated_create_returns_the_same_token_with_a_fresh_value(env: &TestEnv) {
    let (app, other) = (env.app(), env.app());
    let first = create(&app, KEY).expect(200).json();
    env.clock.advance(Duration::from_secs(5));
    let second = create(&other, &format!("\"{KEY}\"")).expect(200).json();
    assert_ne!(first["value"], second["value"]);
    let without_value = |token: &Value| {
        let mut token = token.clone();
        token.as_object_mut().unwrap().remove("value");
        token
    };
    assert_eq!(without_value(&first), without_value(&second));
    assert_eq!(count(env, "tokens"), "1");
    // A third attempt replaces the value of the second.
    let third = value_of(create(&app, KEY));
    assert_eq!(
        [&string(&first["value"]), &string(&second["value"]), &third].map(|value| status_of(&app, value)),
        [401, 401, 200]
    );
    assert_ne!(value_of(create(&app, "another-key")), third);
    assert_eq!(count(env, "tokens"), "2");
}

fn a_repeated_rotation_keeps_the_grace_period_of_the_old_value(env: &TestEnv) {
    let app = env.app();
    let (id, old) = app.new_token(&json!({ "name": "n" }));
    let grace = json!({ "gracePeriodSeconds": 60 });
    let lost = value_of(rotate(&app, &id, KEY, &grace));
    env.clock.advance(Duration::from_secs(50));
    assert_eq!(
        status_of(&app, &old),
        200,
        "a use of the old value does not claim the lost one"
    );
    let rotated_at = app.get(&format!("{TOKENS}/{id}"), Auth::Admin).json()["rotatedAt"].clone();
    let fresh = rotate(&app, &id, KEY, &json!({ "gracePeriodSeconds": 60.0 }))
        .expect(200)
        .json();
    assert_eq!(fresh["rotatedAt"], rotated_at);
    let fresh = string(&fresh["value"]);
    assert_eq!(
        [&old, &lost, &fresh].map(|value| status_of(&app, value)),
        [200, 401, 200]
    );
    env.clock.advance(Duration::from_secs(15));
    assert_eq!(
        [&old, &fresh].map(|value| status_of(&app, value)),
        [401, 200],
        "the grace period was not prolonged"
    );
    // A token can repeat its own rotation while its old value is valid.
    let itself = format!("{TOKENS}/self/rotate");
    let lost = value_of(post(&app, &itself, Auth::Key(&fresh), "own", &grace));
    let found = value_of(post(&app, &itself, Auth::Key(&fresh), "own", &grace));
    assert_eq!([&lost, &found].map(|value| status_of(&app, value)), [401, 200]);
}

fn a_value_that_was_presented_is_not_replaced(env: &TestEnv) {
    let (app, other) = (env.app(), env.app());
    let value = value_of(create(&app, KEY));
    // On the other server, and for lack of a permission in vain: a client has it.
    other.get(TOKENS, Auth::Key(&value)).expect(403);
    let refused = create(&app, KEY).expect(409);
    assert!(refused.message().contains("was used or replaced"), "{refused:?}");
    assert_eq!(status_of(&app, &value), 200);

    let (id, _) = app.new_token(&json!({ "name": "n" }));
    let lost = value_of(rotate(&app, &id, KEY, &json!({})));
    let form = format!("token={lost}");
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let fresh = value_of(rotate(&app, &id, KEY, &json!({})));
    let inactive = app
        .send("POST", "/introspect", Auth::Admin, &headers, &form)
        .expect(200);
    assert_eq!(inactive.json(), json!({ "active": false }));
    let form = format!("token={fresh}");
    other
        .send("POST", "/introspect", Auth::Admin, &headers, &form)
        .expect(200);
    rotate(&app, &id, KEY, &json!({})).expect(409);
}

fn a_value_that_was_looked_up_is_not_replaced(env: &TestEnv) {
    let (app, other) = (env.app(), env.app());
    let created = create(&app, KEY).expect(200).json();
    let value = string(&created["value"]);
    let found = other.post(&format!("{TOKENS}/lookup"), Auth::Admin, &json!({ "value": value }));
    assert_eq!(found.expect(200).json()["lastUsedAt"], Value::Null);
    create(&app, KEY).expect(409);
    assert_eq!(status_of(&app, &value), 200);
}

fn a_value_that_was_rotated_since_is_not_replaced(env: &TestEnv) {
    let app = env.app();
    let created = create(&app, KEY).expect(200).json();
    let id = string(&created["id"]);
    let current = value_of(rotate(&app, &id, "rotation", &json!({})));
    create(&app, KEY).expect(409);
    let current_again = value_of(rotate(&app, &id, "rotation", &json!({})));
    assert_eq!(
        [&current, &current_again].map(|value| status_of(&app, value)),
        [401, 200]
    );
    let last = value_of(app.send("POST", &format!("{TOKENS}/{id}/rotate"), Auth::Admin, &[], ""));
    rotate(&app, &id, "rotation", &json!({})).expect(409);
    assert_eq!(status_of(&app, &last), 200);
}

fn a_repetition_after_a_deletion_is_a_conflict(env: &TestEnv) {
    let app = env.app();
    let id = string(&create(&app, KEY).expect(200).json()["id"]);
    rotate(&app, &id, KEY, &json!({})).expect(200);
    app.delete(&format!("{TOKENS}/{id}"), Auth::Admin).expect(204);
    for repeated in [create(&app, KEY), rotate(&app, &id, KEY, &json!({}))] {
        assert!(repeated.expect(409).message().contains("was deleted"));
    }
    rotate(&app, &id, "another-key", &json!({})).expect(404);
    assert_eq!(count(env, "tokens"), "0");
}

fn another_payload_is_refused(env: &TestEnv) {
    let app = env.app();
    let body = json!({ "name": "n", "permissions": [READ], "expiresAt": null });
    let id = string(&post(&app, TOKENS, Auth::Admin, KEY, &body).expect(200).json()["id"]);
    for other in [
        json!({ "name": "m", "permissions": [READ], "expiresAt": null }),
        json!({ "name": "n", "permissions": [MODIFY], "expiresAt": null }),
        json!({ "name": "n", "permissions": [READ] }),
        json!({ "name": "n", "permissions": [READ], "expiresAt": null, "allowedCIDRBlocks": [] }),
    ] {
        let refused = post(&app, TOKENS, Auth::Admin, KEY, &other).expect(422);
        assert!(refused.message().starts_with("Idempotency-Key: "), "{refused:?}");
    }
    // The same payload in other words.
    let same = json!({ "expiresAt": null, "permissions": [READ, READ], "name": "n" });
    assert_eq!(
        string(&post(&app, TOKENS, Auth::Admin, KEY, &same).expect(200).json()["id"]),
        id
    );
    rotate(&app, &id, KEY, &json!({})).expect(200);
    rotate(&app, &id, KEY, &json!({ "gracePeriodSeconds": 0 })).expect(200);
    rotate(&app, &id, KEY, &json!({ "gracePeriodSeconds": 1 })).expect(422);
    rotate(&app, &id, KEY, &json!({ "expiresAt": null })).expect(422);
}

fn a_refused_request_is_not_remembered(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n", "permissions": [] }));
    let past = json!({ "name": "n", "expiresAt": "2020-01-01T00:00:00Z" });
    post(&app, TOKENS, Auth::Admin, KEY, &past).expect(400);
    post(&app, TOKENS, Auth::Key(&value), KEY, &json!({ "name": "n" })).expect(403);
    rotate(&app, "7ba167aa-631c-4771-b197-fcb459cc7fd7", KEY, &json!({})).expect(404);
    assert_eq!(count(env, "idempotency_keys"), "0");
    create(&app, KEY).expect(200);
    let allowed = json!({ "permissions": [MODIFY] });
    app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &allowed).expect(200);
    post(&app, TOKENS, Auth::Key(&value), KEY, &json!({ "name": "n" })).expect(200);
}

fn keys_belong_to_their_caller_and_operation(env: &TestEnv) {
    let app = env.app();
    let body = json!({ "name": "n", "permissions": [MODIFY] });
    let [(one_id, one), (other_id, other)] = [app.new_token(&body), app.new_token(&body)];
    let created = [Auth::Admin, Auth::Key(&one), Auth::Key(&other)]
        .map(|auth| string(&post(&app, TOKENS, auth, KEY, &body).expect(200).json()["id"]));
    assert!(created[0] != created[1] && created[1] != created[2]);
    for id in [&created[0], &created[1], &one_id, &other_id] {
        rotate(&app, id, KEY, &json!({})).expect(200);
    }
    assert_eq!(count(env, "idempotency_keys"), "7");
}

fn rights_are_checked_again(env: &TestEnv) {
    let app = env.app();
    let (manager, value) = app.new_token(&json!({ "name": "m", "permissions": [MODIFY, "AlertRead"] }));
    let body = json!({ "name": "n", "permissions": ["AlertRead"] });
    let make = || post(&app, TOKENS, Auth::Key(&value), KEY, &body);
    let id = string(&make().expect(200).json()["id"]);
    let change = |id: &str, permissions: Value| {
        let body = json!({ "permissions": permissions });
        app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &body).expect(200);
    };
    // The new token now holds more than its creator.
    change(&id, json!(["AlertRead", "RuleRead"]));
    make().expect(403);
    change(&id, json!(["AlertRead"]));
    make().expect(200);
    change(&manager, json!([MODIFY]));
    make().expect(403);
    change(&manager, json!(["AlertRead"]));
    make().expect(403);
}

fn a_key_expires_after_a_day(env: &TestEnv) {
    let app = env.app();
    let first = create(&app, KEY).expect(200).json();
    env.clock.advance(Duration::from_hours(24) - Duration::from_secs(1));
    assert_eq!(create(&app, KEY).expect(200).json()["id"], first["id"]);
    env.clock.advance(Duration::from_secs(1));
    assert_ne!(create(&app, KEY).expect(200).json()["id"], first["id"]);
    create(&app, "another-key").expect(200);
    app.stop();
    assert_eq!(count(env, "idempotency_keys"), "2");
    env.clock.advance(Duration::from_hours(25));
    let service = env.service();
    actix_web::rt::System::new().block_on(async {
        service.begin_retention().await.unwrap();
        service.delete_old_keys().await.unwrap();
        assert_eq!(
            count(env, "idempotency_keys"),
            "2",
            "the newest record is younger than a day"
        );
        env.clock.advance(Duration::from_hours(25));
        service.delete_old_keys().await.unwrap();
    });
    assert_eq!(count(env, "idempotency_keys"), "0");
}

fn malformed_keys_are_refused_and_ignored_elsewhere(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let long = "k".repeat(256);
    for malformed in ["", "\"", "\"a\"b", "a b", "\"\"", &long] {
        let message = create(&app, malformed).expect(400).message();
        assert!(
            message.starts_with("Idempotency-Key: must be 1 to 255 visible"),
            "{message}"
        );
        rotate(&app, &id, malformed, &json!({})).expect(400);
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "a")];
    app.send("POST", &format!("{TOKENS}/{id}/rotate"), Auth::Admin, &twice, "")
        .expect(400);
    assert_eq!(status_of(&app, &value), 200);
    post(
        &app,
        &format!("{TOKENS}/{id}"),
        Auth::Admin,
        "a b",
        &json!({ "name": "m" }),
    )
    .expect(200);
    for _ in 0..2 {
        post(&app, LEGACY, Auth::Admin, KEY, &json!({ "name": "legacy" })).expect(200);
    }
    assert_eq!(count(env, "tokens"), "3");
}

/// A concurrent repetition waits for the first request, and is a conflict or a repetition, never a second token.
fn concurrent_requests_with_one_key_create_one_token(env: &TestEnv) {
    let apps = [env.app(), env.app()];
    let responses: Vec<Response> = std::thread::scope(|scope| {
        let sent: Vec<_> = (0..8)
            .map(|number| {
                scope.spawn({
                    let app = &apps[number % 2];
                    move || create(app, KEY)
                })
            })
            .collect();
        sent.into_iter().map(|response| response.join().unwrap()).collect()
    });
    assert_eq!(count(env, "tokens"), "1");
    let values: Vec<String> = responses
        .into_iter()
        .filter_map(|response| match response.status {
            200 => Some(value_of(response)),
            409 => None,
            _ => panic!("{response:?}"),
        })
        .collect();
    let valid = values.iter().filter(|value| status_of(&apps[0], value) == 200);
    assert_eq!(valid.count(), 1, "the last value is valid, and only that");
}

fn a_repetition_is_an_audit_event(env: &TestEnv) {
    let app = env.app();
    let id = string(&create(&app, KEY).expect(200).json()["id"]);
    create(&app, KEY).expect(200);
    rotate(&app, &id, KEY, &json!({})).expect(200);
    rotate(&app, &id, KEY, &json!({})).expect(200);
    create(&app, KEY).expect(409);
    let events = app
        .get(&format!("/audit-events?tokenId={id}"), Auth::Admin)
        .expect(200)
        .json();
    let actions: Vec<_> = events["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| string(&event["action"]))
        .collect();
    assert_eq!(
        actions,
        ["token.reissued", "token.rotated", "token.reissued", "token.created"]
    );
    let stored = env.store.texts("SELECT details AS found FROM audit_events");
    assert!(
        stored
            .iter()
            .all(|details| !details.contains(KEY) && !details.contains("tbk_")),
        "{stored:?}"
    );
}
