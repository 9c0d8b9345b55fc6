//! The `/api-tokens` API.

use std::{collections::HashSet, time::Duration};

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
    pagination_returns_every_token_once_during_changes,
    filters_select_tokens,
    invalid_queries_are_reported,
    the_last_use_is_visible_immediately_and_stored,
    changes_increment_the_version_and_uses_do_not,
    invalid_input_is_reported,
    names_need_not_be_unique,
    unknown_methods_and_paths_are_rejected,
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

fn pagination_returns_every_token_once_during_changes(env: &TestEnv) {
    let app = env.app();
    let ids: Vec<String> = (0..25)
        .map(|n| app.new_token(&json!({ "name": format!("{n}") })).0)
        .collect();
    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let page = app
            .get(&format!("{TOKENS}?limit=10{next}"), Auth::Admin)
            .expect(200)
            .json();
        seen.extend(
            page["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|token| string(&token["id"])),
        );
        if seen.len() == 10 {
            // Delete a row that was read, the last one that was read, and one that was not; add a new one.
            for index in [0, 9, 15] {
                app.delete(&path(&ids[index]), Auth::Admin).expect(204);
            }
            app.new_token(&json!({ "name": "new" }));
        }
        match page.get("next") {
            Some(cursor) => next = format!("&cursor={}", cursor.as_str().unwrap()),
            None => break,
        }
    }
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len());
    let kept: Vec<&String> = ids
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != 15)
        .map(|(_, id)| id)
        .collect();
    assert_eq!(seen.iter().take(24).collect::<Vec<_>>(), kept);
    assert_eq!(seen.len(), 25);
    // A page that is exactly full is the last one.
    let whole = app.get(&format!("{TOKENS}?limit=23"), Auth::Admin).json();
    assert_eq!(
        (whole["results"].as_array().unwrap().len(), whole.get("next")),
        (23, None)
    );
}

fn filters_select_tokens(env: &TestEnv) {
    let app = env.app();
    let names = |query: &str| -> Vec<String> {
        let found = app.get(&format!("{TOKENS}?{query}"), Auth::Admin).expect(200).json();
        found["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|token| string(&token["name"]))
            .collect()
    };
    let (_, used) = app.new_token(&json!({ "name": "used 100%" }));
    app.new_token(&json!({ "name": "ends_soon", "expiresAt": env.clock.seconds_from_now(50) }));
    app.new_legacy_token(&json!({ "name": "Old Agent" }));
    env.clock.advance(Duration::from_secs(10));
    app.get(&path("self"), Auth::Key(&used)).expect(200);
    env.clock.advance(Duration::from_secs(10));
    app.new_token(&json!({ "name": "late", "expiresAt": env.clock.seconds_from_now(500) }));
    assert_eq!(names("name=Agent"), ["Old Agent"]);
    assert_eq!(names("name=aGENT"), ["Old Agent"]);
    assert_eq!(names("name=agents"), Vec::<String>::new());
    assert_eq!(names("name=%25"), ["used 100%"]);
    assert_eq!(names("name=_"), ["ends_soon"]);
    assert_eq!(names("name="), ["used 100%", "ends_soon", "Old Agent", "late"]);
    assert_eq!(names("state=legacy"), ["Old Agent"]);
    assert_eq!(names("state=never-used"), ["ends_soon", "Old Agent", "late"]);
    assert_eq!(
        names(&format!("unusedSince={}", env.clock.seconds_from_now(-10))),
        ["ends_soon", "Old Agent"]
    );
    assert_eq!(
        names(&format!("unusedSince={}", env.clock.seconds_from_now(-9))),
        ["used 100%", "ends_soon", "Old Agent"]
    );
    assert_eq!(
        names(&format!("expiresBefore={}", env.clock.seconds_from_now(500))),
        ["ends_soon"]
    );
    env.clock.advance(Duration::from_secs(40));
    assert_eq!(names("state=expired"), ["ends_soon"]);
    assert_eq!(names("state=active"), ["used 100%", "late"]);
    assert_eq!(names("state=active&name=e&limit=1"), ["used 100%"]);
    app.new_token(&json!({ "name": "\u{dc}BER" }));
    assert_eq!(names("name=%C3%BCber"), ["\u{dc}BER"]);
}

fn invalid_queries_are_reported(env: &TestEnv) {
    let app = env.app();
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=", "cursor"),
        ("state=gone", "state"),
        ("unusedSince=yesterday", "unusedSince"),
        ("expiresBefore=1", "expiresBefore"),
        ("name=%00", "name"),
    ] {
        let message = app.get(&format!("{TOKENS}?{query}"), Auth::Admin).expect(400).message();
        assert!(message.starts_with(&format!("{field}: ")), "{query}: {message}");
    }
    for (query, expected) in [
        ("limit=1&limit=2", "limit: must not be given twice"),
        ("name=a&name=a", "name: must not be given twice"),
        (
            "unusedSince=2027-01-31T10:00:00+02:00",
            "unusedSince: in a query, \"+\" means a blank; write 2027-01-31T10:00:00%2B02:00",
        ),
        ("nmae=x", "unknown parameter \"nmae\"; did you mean \"name\"?"),
        (
            "expected=1",
            "the parameters are limit, cursor, name, nameEquals, owner, createdBy, permission, state, unusedSince, expiresBefore",
        ),
    ] {
        let message = app.get(&format!("{TOKENS}?{query}"), Auth::Admin).expect(400).message();
        assert!(message.contains(expected), "{message}");
    }
    let right = "unusedSince=2027-01-31T10:00:00%2B02:00";
    for ignored in ["_=1799999999", "os_authType=basic", "_=1&_=2", right] {
        app.get(&format!("{TOKENS}?limit=1&{ignored}"), Auth::Admin).expect(200);
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

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn invalid_input_is_reported(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    let update = path(&id);
    for (place, body, message) in [
        (TOKENS, json!({}), "name: is required"),
        (
            TOKENS,
            json!({ "name": "x".repeat(256) }),
            "name: has 256 characters; the maximum is 255",
        ),
        (
            TOKENS,
            json!({ "name": "n", "permissions": ["AlertRed"] }),
            "permissions[0]: unknown permission \"AlertRed\"; did you mean \"AlertRead\"?",
        ),
        (
            TOKENS,
            json!({ "name": "n", "allowedCIDRBlocks": ["8.8.8.8"] }),
            "allowedCIDRBlocks[0]: \"8.8.8.8\" is missing a prefix length; use \"8.8.8.8/32\"",
        ),
        (
            TOKENS,
            json!({ "name": "n", "allowedCidrBlocks": [] }),
            "unknown field \"allowedCidrBlocks\"; did you mean \"allowedCIDRBlocks\"?",
        ),
        (
            TOKENS,
            json!({ "name": "n", "permissions": [1] }),
            "permissions[0]: must be a string, not a number; write it in quotes",
        ),
        (
            TOKENS,
            json!({ "name": "n", "permissions": "AlertRead" }),
            "permissions: must be a list, not a string",
        ),
        (
            &format!("{update}/rotate"),
            json!({ "gracePeriodSeconds": -1 }),
            "gracePeriodSeconds: -1 is not a whole number from 0 to 604800",
        ),
        (
            &format!("{update}/rotate"),
            json!({ "gracePeriodSeconds": 1.5 }),
            "gracePeriodSeconds: 1.5 is not a whole number from 0 to 604800",
        ),
        (&format!("{update}/rotate"), json!([]), "the body must be a JSON object"),
        (
            TOKENS,
            json!({ "name": "n", "allowedCIDRBlocks": null }),
            "allowedCIDRBlocks: must be a list, not null",
        ),
        (&update, json!({ "name": null }), "name: must be a string, not null"),
        (
            &update,
            json!({}),
            "the body must set at least one of name, permissions, allowedCIDRBlocks, expiresAt, description, owner, disabled",
        ),
        (
            &update,
            json!({ "id": id }),
            "the body must set at least one of name, permissions, allowedCIDRBlocks, expiresAt, description, owner, disabled",
        ),
        (
            &update,
            json!({ "name": " " }),
            "name: must contain a visible character",
        ),
        (
            &format!("{update}/rotate"),
            json!({ "gracePeriodSeconds": 604_801 }),
            "gracePeriodSeconds: 604801 is not a whole number from 0 to 604800",
        ),
    ] {
        assert_eq!(
            app.post(place, Auth::Admin, &body).expect(400).message(),
            message,
            "{body}"
        );
    }
    let json_type = [("content-type", "application/json; charset=utf-8")];
    for body in [
        "{",
        "nonsense",
        "[]",
        "\"x\"",
        "{\"name\":\"a\"}{}",
        "{\"name\":\"a\",\"name\":\"b\"}",
        "{\"name\":\"\\ud800\"}",
    ] {
        app.send("POST", TOKENS, Auth::Admin, &json_type, body).expect(400);
    }
    let gzip = [("content-type", "application/json"), ("content-encoding", "gzip")];
    app.send("POST", TOKENS, Auth::Admin, &gzip, "{\"name\":\"a\"}")
        .expect(415);
    app.send(
        "POST",
        TOKENS,
        Auth::Admin,
        &[("content-type", "text/plain")],
        "{\"name\":\"a\"}",
    )
    .expect(415);
    app.send(
        "POST",
        TOKENS,
        Auth::Admin,
        &[("content-type", "application/vnd.x+json")],
        "{\"name\":\"a\"}",
    )
    .expect(200);
    for wrong in ["nonsense", "00000000-0000-0000-0000-00000000000", "%ff", "SELF"] {
        assert_eq!(
            app.get(&path(wrong), Auth::Admin).expect(404).text,
            r#"{"message":"there is no such token"}"#
        );
    }
    assert_eq!(
        app.get(TOKENS, Auth::Admin).json()["results"].as_array().unwrap().len(),
        2
    );
}

fn names_need_not_be_unique(env: &TestEnv) {
    let app = env.app();
    let body = json!({ "name": "the same, Jürgen's 🔑" });
    assert_ne!(app.new_token(&body).0, app.new_token(&body).0);
}

fn unknown_methods_and_paths_are_rejected(env: &TestEnv) {
    let app = env.app();
    for (method, place, allowed) in [
        ("PUT", TOKENS.to_owned(), "GET, HEAD, POST, DELETE"),
        ("PATCH", path("x"), "GET, HEAD, POST, DELETE"),
        ("GET", path("x/rotate"), "POST"),
    ] {
        let response = app.send(method, &place, Auth::Anonymous, &[], "").expect(405);
        assert_eq!(response.header("allow"), Some(allowed));
        assert_eq!(response.json().as_object().unwrap().len(), 1);
    }
    assert_eq!(
        app.get(&path("x/y/z"), Auth::Admin).expect(404).text,
        r#"{"message":"this path does not exist"}"#
    );
    app.get(&format!("{TOKENS}/"), Auth::Admin).expect(200);
}
