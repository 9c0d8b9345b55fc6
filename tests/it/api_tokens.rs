//! The `/api-tokens` API.

pub mod input;
pub mod lists;

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    support::{
        START, TestApp, TestEnv,
        client::{Auth, LEGACY, TOKENS, string},
    },
    tests,
};

tests![
    a_new_token_shows_its_value_once,
    omitted_fields_default_to_those_of_the_caller,
    an_update_changes_only_the_given_fields,
    a_response_can_be_sent_back_as_an_update,
    rotating_without_grace_revokes_earlier_values,
    the_previous_value_works_during_the_grace_period,
    grace_values_are_bounded,
    a_rotation_can_set_the_expiry,
    self_refers_to_the_calling_token,
    a_deleted_token_is_gone,
    the_expiry_is_stored_and_enforced,
    the_last_use_is_visible_immediately_and_stored,
    changes_increment_the_version_and_uses_do_not,
    names_need_not_be_unique,
];

fn path(id: &str) -> String {
    format!("{TOKENS}/{id}")
}

fn rotate(app: &TestApp, id: &str, auth: Auth<'_>, body: &Value) -> Value {
    app.post(&format!("{TOKENS}/{id}/rotate"), auth, body)
        .expect(200)
        .json()
}

fn a_new_token_shows_its_value_once(env: &TestEnv) {
    let app = env.app();
    let body = json!({ "name": "agents", "permissions": ["UserRead", "AlertRead"], "allowedCIDRBlocks": ["10.1.2.3/8", "10.0.0.0/8"] });
    let mut created = app.post(TOKENS, Auth::Admin, &body).expect(200).json();
    let (id, value) = (string(&created["id"]), string(&created["value"]));
    let expected = json!({
        "id": id, "name": "agents", "permissions": ["AlertRead", "UserRead"], "allowedCIDRBlocks": ["10.0.0.0/8"],
        "createdAt": START, "createdBy": { "id": "admin", "type": "user" }, "expiresAt": null, "value": value,
    });
    assert_eq!(created, expected);
    assert!(value.starts_with("tbk_") && value.len() == 53);
    created.as_object_mut().unwrap().remove("value");
    assert_eq!(app.get(&path(&id), Auth::Admin).expect(200).json(), created);
    assert_eq!(
        app.get(TOKENS, Auth::Admin).expect(200).json(),
        json!({ "results": [created] })
    );
    assert_eq!(
        env.store
            .texts("SELECT count(*) || '' AS found FROM tokens WHERE value_hash IS NOT NULL"),
        ["1"]
    );
}

fn omitted_fields_default_to_those_of_the_caller(env: &TestEnv) {
    let app = env.app();
    let of_admin = app
        .post(TOKENS, Auth::Admin, &json!({ "name": "n" }))
        .expect(200)
        .json();
    assert_eq!(
        of_admin["permissions"],
        json!(["OrganizationAPITokenModify", "OrganizationAPITokenRead"])
    );
    assert_eq!(of_admin["allowedCIDRBlocks"], json!([]));
    let body = json!({ "name": "maker", "permissions": ["OrganizationAPITokenModify", "BulkUpload"], "allowedCIDRBlocks": ["127.0.0.0/8"] });
    let (maker_id, maker) = app.new_token(&body);
    let of_token = app
        .post(TOKENS, Auth::Key(&maker), &json!({ "name": "n" }))
        .expect(200)
        .json();
    assert_eq!(
        of_token["permissions"],
        json!(["BulkUpload", "OrganizationAPITokenModify"])
    );
    assert_eq!(of_token["allowedCIDRBlocks"], json!(["127.0.0.0/8"]));
    assert_eq!(of_token["createdBy"], json!({ "id": maker_id, "type": "api-token" }));
}

fn an_update_changes_only_the_given_fields(env: &TestEnv) {
    let app = env.app();
    let (id, value) =
        app.new_token(&json!({ "name": "n", "permissions": ["AlertRead"], "allowedCIDRBlocks": ["127.0.0.0/8"] }));
    env.clock.advance(Duration::from_secs(1));
    let renamed = app
        .post(&path(&id), Auth::Admin, &json!({ "name": "m" }))
        .expect(200)
        .json();
    let expected = json!({
        "id": id, "name": "m", "permissions": ["AlertRead"], "allowedCIDRBlocks": ["127.0.0.0/8"], "createdAt": START,
        "createdBy": { "id": "admin", "type": "user" }, "updatedAt": env.clock.seconds_from_now(0),
        "updatedBy": { "id": "admin", "type": "user" }, "expiresAt": null,
    });
    assert_eq!(renamed, expected);
    let cleared = app
        .post(
            &path(&id),
            Auth::Admin,
            &json!({ "allowedCIDRBlocks": [], "permissions": [] }),
        )
        .expect(200)
        .json();
    assert_eq!(
        (&cleared["allowedCIDRBlocks"], &cleared["permissions"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(
        app.get(&path("self"), Auth::Key(&value)).expect(200).json()["name"],
        "m"
    );
}

fn a_response_can_be_sent_back_as_an_update(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "n", "permissions": ["AlertRead"] }));
    let mut token = app.get(&path(&id), Auth::Admin).json();
    token["name"] = json!("edited");
    let after = app.post(&path(&id), Auth::Admin, &token).expect(200).json();
    assert_eq!(
        (&after["name"], &after["id"], &after["createdAt"]),
        (&json!("edited"), &json!(id), &json!(START))
    );
}

fn rotating_without_grace_revokes_earlier_values(env: &TestEnv) {
    let app = env.app();
    let (id, old) = app.new_token(&json!({ "name": "n" }));
    env.clock.advance(Duration::from_secs(5));
    // Without a body, as Panther documents it, regardless of the content type.
    let response = app
        .send("POST", &format!("{TOKENS}/{id}/rotate"), Auth::Admin, &[], "")
        .expect(200)
        .json();
    let new = string(&response["value"]);
    assert_ne!(new, old);
    assert_eq!(response["rotatedAt"], env.clock.seconds_from_now(0));
    assert_eq!(response.get("updatedAt"), None);
    app.get(&path("self"), Auth::Key(&old)).expect(401);
    app.get(&path("self"), Auth::Key(&new)).expect(200);
}

fn the_previous_value_works_during_the_grace_period(env: &TestEnv) {
    let app = env.app();
    let (id, first) = app.new_token(&json!({ "name": "n" }));
    let second = string(&rotate(&app, "self", Auth::Key(&first), &json!({ "gracePeriodSeconds": 60 }))["value"]);
    let third = string(&rotate(&app, &id, Auth::Admin, &json!({ "gracePeriodSeconds": 120 }))["value"]);
    for value in [&first, &second, &third] {
        assert_eq!(app.get(&path("self"), Auth::Key(value)).expect(200).json()["id"], id);
    }
    env.clock.advance(Duration::from_mins(1));
    app.get(&path("self"), Auth::Key(&first)).expect(401);
    app.get(&path("self"), Auth::Key(&second)).expect(200);
    // Without a grace period, no earlier value stays valid.
    let fourth = string(&rotate(&app, &id, Auth::Admin, &json!({}))["value"]);
    for value in [&first, &second, &third] {
        app.get(&path("self"), Auth::Key(value)).expect(401);
    }
    app.get(&path("self"), Auth::Key(&fourth)).expect(200);
}

fn grace_values_are_bounded(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    for _ in 0..10 {
        rotate(&app, &id, Auth::Admin, &json!({ "gracePeriodSeconds": 60 }));
    }
    let rotation = format!("{TOKENS}/{id}/rotate");
    let refused = app
        .post(&rotation, Auth::Admin, &json!({ "gracePeriodSeconds": 60 }))
        .expect(409);
    assert!(refused.message().starts_with("10 earlier values"));
    env.clock.advance(Duration::from_mins(1));
    app.post(&rotation, Auth::Admin, &json!({ "gracePeriodSeconds": 60 }))
        .expect(200);
    assert_eq!(
        env.store.texts("SELECT count(*) || '' AS found FROM grace_values"),
        ["1"]
    );
}

fn a_rotation_can_set_the_expiry(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    let soon = env.clock.seconds_from_now(10);
    assert_eq!(
        rotate(&app, &id, Auth::Admin, &json!({ "expiresAt": soon }))["expiresAt"],
        soon
    );
    assert_eq!(rotate(&app, &id, Auth::Admin, &json!({}))["expiresAt"], soon);
    assert_eq!(
        rotate(&app, &id, Auth::Admin, &json!({ "expiresAt": null }))["expiresAt"],
        json!(null)
    );
    // A token that may not change tokens can shorten its own lifetime, but not extend it.
    let (_, value) =
        app.new_token(&json!({ "name": "n", "permissions": [], "expiresAt": env.clock.seconds_from_now(100) }));
    let rotation = format!("{TOKENS}/self/rotate");
    for longer in [
        json!({ "expiresAt": null }),
        json!({ "expiresAt": env.clock.seconds_from_now(101) }),
    ] {
        let refused = app.post(&rotation, Auth::Key(&value), &longer).expect(403);
        assert!(refused.message().contains("OrganizationAPITokenModify"));
    }
    app.post(
        &rotation,
        Auth::Key(&value),
        &json!({ "expiresAt": env.clock.seconds_from_now(99) }),
    )
    .expect(200);
}

fn self_refers_to_the_calling_token(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    assert_eq!(
        app.get(&path("self"), Auth::Bearer(&value)).expect(200).json()["id"],
        id
    );
    assert_eq!(
        app.post(&path("self"), Auth::Key(&value), &json!({ "name": "m" }))
            .expect(200)
            .json()["updatedBy"]["id"],
        id
    );
    app.delete(&path("self"), Auth::Key(&value)).expect(204);
    app.get(&path("self"), Auth::Key(&value)).expect(401);
    for (method, place) in [
        ("GET", path("self")),
        ("DELETE", path("self")),
        ("POST", format!("{TOKENS}/self/rotate")),
    ] {
        assert!(
            app.send(method, &place, Auth::Admin, &[], "")
                .expect(400)
                .message()
                .starts_with("id: ")
        );
    }
}

fn a_deleted_token_is_gone(env: &TestEnv) {
    let app = env.app();
    let (id, first) = app.new_token(&json!({ "name": "n" }));
    let second = string(&rotate(&app, &id, Auth::Admin, &json!({ "gracePeriodSeconds": 600 }))["value"]);
    assert_eq!(app.delete(&path(&id), Auth::Admin).expect(204).text, "");
    for value in [&first, &second] {
        assert_eq!(
            app.get(&path("self"), Auth::Key(value)).expect(401).message(),
            "the API key is not valid"
        );
    }
    app.get(&path(&id), Auth::Admin).expect(404);
    app.delete(&path(&id), Auth::Admin).expect(404);
    app.post(&path(&id), Auth::Admin, &json!({ "name": "m" })).expect(404);
    app.post(&format!("{TOKENS}/{id}/rotate"), Auth::Admin, &json!({}))
        .expect(404);
    assert_eq!(
        env.store.texts("SELECT count(*) || '' AS found FROM grace_values"),
        ["0"]
    );
}

fn the_expiry_is_stored_and_enforced(env: &TestEnv) {
    let app = env.app();
    let end = env.clock.seconds_from_now(60);
    let (id, value) = app.new_token(&json!({ "name": "n", "expiresAt": "2030-01-01T01:01:00+01:00" }));
    assert_eq!(app.get(&path(&id), Auth::Admin).json()["expiresAt"], end);
    env.clock.advance(Duration::from_secs(59));
    app.get(&path("self"), Auth::Key(&value)).expect(200);
    env.clock.advance(Duration::from_secs(1));
    assert_eq!(
        app.get(&path("self"), Auth::Key(&value)).expect(401).message(),
        "the API key has expired"
    );
    assert_eq!(app.get(TOKENS, Auth::Admin).json()["results"][0]["id"], id);
    assert_eq!(app.get(LEGACY, Auth::Admin).json()[0]["uuid"], id);
    app.post(
        &path(&id),
        Auth::Admin,
        &json!({ "expiresAt": env.clock.seconds_from_now(1) }),
    )
    .expect(200);
    app.get(&path("self"), Auth::Key(&value)).expect(200);
    app.post(&path(&id), Auth::Admin, &json!({ "expiresAt": null }))
        .expect(200);
    env.clock.advance(Duration::from_secs(1_000_000));
    app.get(&path("self"), Auth::Key(&value)).expect(200);
    for wrong in [
        json!(env.clock.seconds_from_now(0)),
        json!("tomorrow"),
        json!("2031-02-30T00:00:00Z"),
        json!("2031-01-01"),
        json!(""),
    ] {
        let body = json!({ "name": "n", "expiresAt": wrong });
        assert!(
            app.post(TOKENS, Auth::Admin, &body)
                .expect(400)
                .message()
                .starts_with("expiresAt: "),
            "{wrong}"
        );
        assert!(
            app.post(&path(&id), Auth::Admin, &body)
                .expect(400)
                .message()
                .starts_with("expiresAt: "),
            "{wrong}"
        );
    }
}

fn the_last_use_is_visible_immediately_and_stored(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n", "permissions": [] }));
    assert_eq!(app.get(&path(&id), Auth::Admin).json().get("lastUsedAt"), None);
    env.clock.advance(Duration::from_secs(7));
    let used_at = env.clock.seconds_from_now(0);
    // A 403 counts as a use: the call was authenticated.
    app.get(TOKENS, Auth::Key(&value)).expect(403);
    assert_eq!(app.get(&path(&id), Auth::Admin).json()["lastUsedAt"], used_at);
    assert_eq!(app.get(TOKENS, Auth::Admin).json()["results"][0]["lastUsedAt"], used_at);
    app.stop();
    let stored = "SELECT last_used_at || '' AS found FROM tokens";
    let micros = crate::support::time(&used_at).micros().to_string();
    assert_eq!(env.store.texts(stored), [micros.as_str()]);
    // Setting the clock back does not move the last use back.
    env.clock.step_back(Duration::from_secs(5));
    let app = env.app();
    app.get(&path("self"), Auth::Key(&value)).expect(200);
    app.stop();
    assert_eq!(env.store.texts(stored), [micros]);
}

fn changes_increment_the_version_and_uses_do_not(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let version = || env.store.texts("SELECT version || '' AS found FROM tokens");
    assert_eq!(version(), ["1"]);
    app.post(&path(&id), Auth::Admin, &json!({ "name": "m" })).expect(200);
    assert_eq!(version(), ["2"]);
    app.send("PUT", &format!("{LEGACY}/{id}"), Auth::Admin, &[], r#"{"read":false}"#)
        .expect(200);
    assert_eq!(version(), ["3"]);
    rotate(&app, &id, Auth::Admin, &json!({ "gracePeriodSeconds": 60 }));
    assert_eq!(version(), ["4"]);
    app.get(&path("self"), Auth::Key(&value)).expect(200);
    app.stop();
    let used = env
        .store
        .texts("SELECT name AS found FROM tokens WHERE last_used_at IS NOT NULL");
    assert_eq!(used, ["m"]);
    assert_eq!(version(), ["4"]);
}

fn names_need_not_be_unique(env: &TestEnv) {
    let app = env.app();
    let body = json!({ "name": "the same, Jürgen's 🔑" });
    assert_ne!(app.new_token(&body).0, app.new_token(&body).0);
}
