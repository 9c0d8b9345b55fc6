//! The `/api-tokens` API.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};

use crate::{
    support::{
        Lab, START, TestApp,
        client::{As, LEGACY, TOKENS, string},
    },
    tests,
};

tests![
    a_new_token_shows_its_value_once,
    what_is_left_out_of_a_create_comes_from_the_caller,
    an_update_changes_what_it_names,
    what_was_read_can_be_sent_back,
    a_rotation_ends_the_old_value,
    a_grace_period_lets_the_old_value_work_on,
    grace_values_are_bounded,
    a_rotation_can_set_the_expiry,
    self_is_the_token_of_the_call,
    a_deleted_token_is_gone,
    expiry_is_kept_and_enforced,
    pages_hold_every_token_once_while_rows_come_and_go,
    filters_choose_tokens,
    wrong_queries_are_told,
    last_use_is_seen_at_once_and_kept,
    bad_input_is_told,
    names_need_not_be_unique,
    methods_and_paths_that_do_not_exist,
];

fn path(id: &str) -> String {
    format!("{TOKENS}/{id}")
}

fn rotate(app: &TestApp, id: &str, who: As<'_>, body: &Value) -> Value {
    app.post(&format!("{TOKENS}/{id}/rotate"), who, body).expect(200).json()
}

fn a_new_token_shows_its_value_once(lab: &Lab) {
    let app = lab.app();
    let body = json!({ "name": "agents", "permissions": ["UserRead", "AlertRead"], "allowedCIDRBlocks": ["10.1.2.3/8", "10.0.0.0/8"] });
    let mut made = app.post(TOKENS, As::Admin, &body).expect(200).json();
    let (id, value) = (string(&made["id"]), string(&made["value"]));
    let expected = json!({
        "id": id, "name": "agents", "permissions": ["AlertRead", "UserRead"], "allowedCIDRBlocks": ["10.0.0.0/8"],
        "createdAt": START, "createdBy": { "id": "admin", "type": "user" }, "expiresAt": null, "value": value,
    });
    assert_eq!(made, expected);
    assert!(value.starts_with("tbk_") && value.len() == 53);
    made.as_object_mut().unwrap().remove("value");
    assert_eq!(app.get(&path(&id), As::Admin).expect(200).json(), made);
    assert_eq!(
        app.get(TOKENS, As::Admin).expect(200).json(),
        json!({ "results": [made] })
    );
    assert_eq!(
        lab.store
            .texts("SELECT count(*) || '' AS found FROM tokens WHERE value_hash IS NOT NULL"),
        ["1"]
    );
}

fn what_is_left_out_of_a_create_comes_from_the_caller(lab: &Lab) {
    let app = lab.app();
    let of_admin = app.post(TOKENS, As::Admin, &json!({ "name": "n" })).expect(200).json();
    assert_eq!(
        of_admin["permissions"],
        json!(["OrganizationAPITokenModify", "OrganizationAPITokenRead"])
    );
    assert_eq!(of_admin["allowedCIDRBlocks"], json!([]));
    let body = json!({ "name": "maker", "permissions": ["OrganizationAPITokenModify", "BulkUpload"], "allowedCIDRBlocks": ["127.0.0.0/8"] });
    let (maker_id, maker) = app.new_token(&body);
    let of_token = app
        .post(TOKENS, As::Key(&maker), &json!({ "name": "n" }))
        .expect(200)
        .json();
    assert_eq!(
        of_token["permissions"],
        json!(["BulkUpload", "OrganizationAPITokenModify"])
    );
    assert_eq!(of_token["allowedCIDRBlocks"], json!(["127.0.0.0/8"]));
    assert_eq!(of_token["createdBy"], json!({ "id": maker_id, "type": "api-token" }));
}

fn an_update_changes_what_it_names(lab: &Lab) {
    let app = lab.app();
    let (id, value) =
        app.new_token(&json!({ "name": "n", "permissions": ["AlertRead"], "allowedCIDRBlocks": ["127.0.0.0/8"] }));
    lab.clock.advance(Duration::from_secs(1));
    let renamed = app
        .post(&path(&id), As::Admin, &json!({ "name": "m" }))
        .expect(200)
        .json();
    let expected = json!({
        "id": id, "name": "m", "permissions": ["AlertRead"], "allowedCIDRBlocks": ["127.0.0.0/8"], "createdAt": START,
        "createdBy": { "id": "admin", "type": "user" }, "updatedAt": lab.clock.in_seconds(0),
        "updatedBy": { "id": "admin", "type": "user" }, "expiresAt": null,
    });
    assert_eq!(renamed, expected);
    let cleared = app
        .post(
            &path(&id),
            As::Admin,
            &json!({ "allowedCIDRBlocks": [], "permissions": [] }),
        )
        .expect(200)
        .json();
    assert_eq!(
        (&cleared["allowedCIDRBlocks"], &cleared["permissions"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(app.get(&path("self"), As::Key(&value)).expect(200).json()["name"], "m");
}

fn what_was_read_can_be_sent_back(lab: &Lab) {
    let app = lab.app();
    let (id, _) = app.new_token(&json!({ "name": "n", "permissions": ["AlertRead"] }));
    let mut token = app.get(&path(&id), As::Admin).json();
    token["name"] = json!("edited");
    let after = app.post(&path(&id), As::Admin, &token).expect(200).json();
    assert_eq!(
        (&after["name"], &after["id"], &after["createdAt"]),
        (&json!("edited"), &json!(id), &json!(START))
    );
}

fn a_rotation_ends_the_old_value(lab: &Lab) {
    let app = lab.app();
    let (id, old) = app.new_token(&json!({ "name": "n" }));
    lab.clock.advance(Duration::from_secs(5));
    // With no body, as Panther documents it, whatever the content type says.
    let answer = app
        .send("POST", &format!("{TOKENS}/{id}/rotate"), As::Admin, &[], "")
        .expect(200)
        .json();
    let new = string(&answer["value"]);
    assert_ne!(new, old);
    assert_eq!(answer["rotatedAt"], lab.clock.in_seconds(0));
    assert_eq!(answer.get("updatedAt"), None);
    app.get(&path("self"), As::Key(&old)).expect(401);
    app.get(&path("self"), As::Key(&new)).expect(200);
}

fn a_grace_period_lets_the_old_value_work_on(lab: &Lab) {
    let app = lab.app();
    let (id, first) = app.new_token(&json!({ "name": "n" }));
    let second = string(&rotate(&app, "self", As::Key(&first), &json!({ "gracePeriodSeconds": 60 }))["value"]);
    let third = string(&rotate(&app, &id, As::Admin, &json!({ "gracePeriodSeconds": 120 }))["value"]);
    for value in [&first, &second, &third] {
        assert_eq!(app.get(&path("self"), As::Key(value)).expect(200).json()["id"], id);
    }
    lab.clock.advance(Duration::from_mins(1));
    app.get(&path("self"), As::Key(&first)).expect(401);
    app.get(&path("self"), As::Key(&second)).expect(200);
    // Without a grace period nothing older works on.
    let fourth = string(&rotate(&app, &id, As::Admin, &json!({}))["value"]);
    for value in [&first, &second, &third] {
        app.get(&path("self"), As::Key(value)).expect(401);
    }
    app.get(&path("self"), As::Key(&fourth)).expect(200);
}

fn grace_values_are_bounded(lab: &Lab) {
    let app = lab.app();
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    for _ in 0..10 {
        rotate(&app, &id, As::Admin, &json!({ "gracePeriodSeconds": 60 }));
    }
    let rotation = format!("{TOKENS}/{id}/rotate");
    let refused = app
        .post(&rotation, As::Admin, &json!({ "gracePeriodSeconds": 60 }))
        .expect(409);
    assert!(refused.message().starts_with("10 earlier values"));
    lab.clock.advance(Duration::from_mins(1));
    app.post(&rotation, As::Admin, &json!({ "gracePeriodSeconds": 60 }))
        .expect(200);
    assert_eq!(
        lab.store.texts("SELECT count(*) || '' AS found FROM grace_values"),
        ["1"]
    );
}

fn a_rotation_can_set_the_expiry(lab: &Lab) {
    let app = lab.app();
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    let soon = lab.clock.in_seconds(10);
    assert_eq!(
        rotate(&app, &id, As::Admin, &json!({ "expiresAt": soon }))["expiresAt"],
        soon
    );
    assert_eq!(rotate(&app, &id, As::Admin, &json!({}))["expiresAt"], soon);
    assert_eq!(
        rotate(&app, &id, As::Admin, &json!({ "expiresAt": null }))["expiresAt"],
        json!(null)
    );
    // A token that may not change tokens may shorten its own life, and not prolong it.
    let (_, value) = app.new_token(&json!({ "name": "n", "permissions": [], "expiresAt": lab.clock.in_seconds(100) }));
    let rotation = format!("{TOKENS}/self/rotate");
    for longer in [
        json!({ "expiresAt": null }),
        json!({ "expiresAt": lab.clock.in_seconds(101) }),
    ] {
        let refused = app.post(&rotation, As::Key(&value), &longer).expect(403);
        assert!(refused.message().contains("OrganizationAPITokenModify"));
    }
    app.post(
        &rotation,
        As::Key(&value),
        &json!({ "expiresAt": lab.clock.in_seconds(99) }),
    )
    .expect(200);
}

fn self_is_the_token_of_the_call(lab: &Lab) {
    let app = lab.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    assert_eq!(app.get(&path("self"), As::Bearer(&value)).expect(200).json()["id"], id);
    assert_eq!(
        app.post(&path("self"), As::Key(&value), &json!({ "name": "m" }))
            .expect(200)
            .json()["updatedBy"]["id"],
        id
    );
    app.delete(&path("self"), As::Key(&value)).expect(204);
    app.get(&path("self"), As::Key(&value)).expect(401);
    for (method, place) in [
        ("GET", path("self")),
        ("DELETE", path("self")),
        ("POST", format!("{TOKENS}/self/rotate")),
    ] {
        assert!(
            app.send(method, &place, As::Admin, &[], "")
                .expect(400)
                .message()
                .starts_with("id: ")
        );
    }
}

fn a_deleted_token_is_gone(lab: &Lab) {
    let app = lab.app();
    let (id, first) = app.new_token(&json!({ "name": "n" }));
    let second = string(&rotate(&app, &id, As::Admin, &json!({ "gracePeriodSeconds": 600 }))["value"]);
    assert_eq!(app.delete(&path(&id), As::Admin).expect(204).text, "");
    for value in [&first, &second] {
        assert_eq!(
            app.get(&path("self"), As::Key(value)).expect(401).message(),
            "the API key is not valid"
        );
    }
    app.get(&path(&id), As::Admin).expect(404);
    app.delete(&path(&id), As::Admin).expect(404);
    app.post(&path(&id), As::Admin, &json!({ "name": "m" })).expect(404);
    app.post(&format!("{TOKENS}/{id}/rotate"), As::Admin, &json!({}))
        .expect(404);
    assert_eq!(
        lab.store.texts("SELECT count(*) || '' AS found FROM grace_values"),
        ["0"]
    );
}

fn expiry_is_kept_and_enforced(lab: &Lab) {
    let app = lab.app();
    let end = lab.clock.in_seconds(60);
    let (id, value) = app.new_token(&json!({ "name": "n", "expiresAt": "2030-01-01T01:01:00+01:00" }));
    assert_eq!(app.get(&path(&id), As::Admin).json()["expiresAt"], end);
    lab.clock.advance(Duration::from_secs(59));
    app.get(&path("self"), As::Key(&value)).expect(200);
    lab.clock.advance(Duration::from_secs(1));
    assert_eq!(
        app.get(&path("self"), As::Key(&value)).expect(401).message(),
        "the API key has expired"
    );
    assert_eq!(app.get(TOKENS, As::Admin).json()["results"][0]["id"], id);
    assert_eq!(app.get(LEGACY, As::Admin).json()[0]["uuid"], id);
    app.post(&path(&id), As::Admin, &json!({ "expiresAt": lab.clock.in_seconds(1) }))
        .expect(200);
    app.get(&path("self"), As::Key(&value)).expect(200);
    app.post(&path(&id), As::Admin, &json!({ "expiresAt": null }))
        .expect(200);
    lab.clock.advance(Duration::from_secs(1_000_000));
    app.get(&path("self"), As::Key(&value)).expect(200);
    for wrong in [
        json!(lab.clock.in_seconds(0)),
        json!("tomorrow"),
        json!("2031-02-30T00:00:00Z"),
        json!("2031-01-01"),
        json!(""),
    ] {
        let body = json!({ "name": "n", "expiresAt": wrong });
        assert!(
            app.post(TOKENS, As::Admin, &body)
                .expect(400)
                .message()
                .starts_with("expiresAt: "),
            "{wrong}"
        );
        assert!(
            app.post(&path(&id), As::Admin, &body)
                .expect(400)
                .message()
                .starts_with("expiresAt: "),
            "{wrong}"
        );
    }
}

fn pages_hold_every_token_once_while_rows_come_and_go(lab: &Lab) {
    let app = lab.app();
    let ids: Vec<String> = (0..25)
        .map(|n| app.new_token(&json!({ "name": format!("{n}") })).0)
        .collect();
    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let page = app
            .get(&format!("{TOKENS}?limit=10{next}"), As::Admin)
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
            // A row behind us goes, the row that we stand on goes, one before us goes, and a new one comes.
            for index in [0, 9, 15] {
                app.delete(&path(&ids[index]), As::Admin).expect(204);
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
    let whole = app.get(&format!("{TOKENS}?limit=23"), As::Admin).json();
    assert_eq!(
        (whole["results"].as_array().unwrap().len(), whole.get("next")),
        (23, None)
    );
}

fn filters_choose_tokens(lab: &Lab) {
    let app = lab.app();
    let names = |query: &str| -> Vec<String> {
        let found = app.get(&format!("{TOKENS}?{query}"), As::Admin).expect(200).json();
        found["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|token| string(&token["name"]))
            .collect()
    };
    let (_, used) = app.new_token(&json!({ "name": "used 100%" }));
    app.new_token(&json!({ "name": "ends_soon", "expiresAt": lab.clock.in_seconds(50) }));
    app.new_legacy_token(&json!({ "name": "Old Agent" }));
    lab.clock.advance(Duration::from_secs(10));
    app.get(&path("self"), As::Key(&used)).expect(200);
    lab.clock.advance(Duration::from_secs(10));
    app.new_token(&json!({ "name": "late", "expiresAt": lab.clock.in_seconds(500) }));
    assert_eq!(names("name=Agent"), ["Old Agent"]);
    assert_eq!(names("name=agent"), Vec::<String>::new());
    assert_eq!(names("name=%25"), ["used 100%"]);
    assert_eq!(names("name=_"), ["ends_soon"]);
    assert_eq!(names("name="), ["used 100%", "ends_soon", "Old Agent", "late"]);
    assert_eq!(names("state=legacy"), ["Old Agent"]);
    assert_eq!(names("state=never-used"), ["ends_soon", "Old Agent", "late"]);
    assert_eq!(
        names(&format!("unusedSince={}", lab.clock.in_seconds(-10))),
        ["ends_soon", "Old Agent"]
    );
    assert_eq!(
        names(&format!("unusedSince={}", lab.clock.in_seconds(-9))),
        ["used 100%", "ends_soon", "Old Agent"]
    );
    assert_eq!(
        names(&format!("expiresBefore={}", lab.clock.in_seconds(500))),
        ["ends_soon"]
    );
    lab.clock.advance(Duration::from_secs(40));
    assert_eq!(names("state=expired"), ["ends_soon"]);
    assert_eq!(names("state=active"), ["used 100%", "Old Agent", "late"]);
    assert_eq!(names("state=active&name=e&limit=1"), ["used 100%"]);
}

fn wrong_queries_are_told(lab: &Lab) {
    let app = lab.app();
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
        let message = app.get(&format!("{TOKENS}?{query}"), As::Admin).expect(400).message();
        assert!(message.starts_with(&format!("{field}: ")), "{query}: {message}");
    }
    for (query, told) in [
        ("limit=1&limit=2", "duplicate field `limit`"),
        ("name=a&name=a", "duplicate field `name`"),
        ("nmae=x", "\"nmae\" is not a parameter of this; did you mean \"name\"?"),
        (
            "expected=1",
            "the parameters are limit, cursor, name, state, unusedSince, expiresBefore",
        ),
    ] {
        let message = app.get(&format!("{TOKENS}?{query}"), As::Admin).expect(400).message();
        assert!(message.contains(told), "{message}");
    }
}

fn last_use_is_seen_at_once_and_kept(lab: &Lab) {
    let app = lab.app();
    let (id, value) = app.new_token(&json!({ "name": "n", "permissions": [] }));
    assert_eq!(app.get(&path(&id), As::Admin).json().get("lastUsedAt"), None);
    lab.clock.advance(Duration::from_secs(7));
    let used_at = lab.clock.in_seconds(0);
    // A call that is refused for want of a permission has authenticated all the same.
    app.get(TOKENS, As::Key(&value)).expect(403);
    assert_eq!(app.get(&path(&id), As::Admin).json()["lastUsedAt"], used_at);
    assert_eq!(app.get(TOKENS, As::Admin).json()["results"][0]["lastUsedAt"], used_at);
    app.stop();
    let stored = "SELECT last_used_at || '' AS found FROM tokens";
    let micros = crate::support::time(&used_at).micros().to_string();
    assert_eq!(lab.store.texts(stored), [micros.as_str()]);
    // A clock that was set back moves nothing back.
    lab.clock.step_back(Duration::from_secs(5));
    let app = lab.app();
    app.get(&path("self"), As::Key(&value)).expect(200);
    app.stop();
    assert_eq!(lab.store.texts(stored), [micros]);
}

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn bad_input_is_told(lab: &Lab) {
    let app = lab.app();
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    let update = path(&id);
    for (place, body, message) in [
        (TOKENS, json!({}), "name: it is required"),
        (
            TOKENS,
            json!({ "name": "x".repeat(256) }),
            "name: it has 256 characters; 255 are the most",
        ),
        (
            TOKENS,
            json!({ "name": "n", "permissions": ["AlertRed"] }),
            "permissions: \"AlertRed\" is not a permission; did you mean \"AlertRead\"?",
        ),
        (
            TOKENS,
            json!({ "name": "n", "allowedCIDRBlocks": ["8.8.8.8"] }),
            "allowedCIDRBlocks: \"8.8.8.8\" is not a CIDR block; write \"8.8.8.8/32\"",
        ),
        (
            TOKENS,
            json!({ "name": "n", "allowedCidrBlocks": [] }),
            "\"allowedCidrBlocks\" is not a field of this; did you mean \"allowedCIDRBlocks\"?",
        ),
        (
            TOKENS,
            json!({ "name": "n", "permissions": [1] }),
            "permissions[0]: invalid type: integer `1`, expected a string at line 1 column 28",
        ),
        (
            TOKENS,
            json!({ "name": "n", "permissions": "AlertRead" }),
            "permissions: invalid type: string \"AlertRead\", expected a list at line 1 column 37",
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
            "allowedCIDRBlocks: invalid type: null, expected a list at line 1 column 25",
        ),
        (
            &update,
            json!({ "name": null }),
            "name: invalid type: null, expected a string at line 1 column 12",
        ),
        (
            &update,
            json!({}),
            "the body names none of name, permissions, allowedCIDRBlocks and expiresAt",
        ),
        (
            &update,
            json!({ "id": id }),
            "the body names none of name, permissions, allowedCIDRBlocks and expiresAt",
        ),
        (&update, json!({ "name": " " }), "name: must have a visible character"),
        (
            &format!("{update}/rotate"),
            json!({ "gracePeriodSeconds": 604_801 }),
            "gracePeriodSeconds: 604801 is not a whole number from 0 to 604800",
        ),
    ] {
        assert_eq!(
            app.post(place, As::Admin, &body).expect(400).message(),
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
        app.send("POST", TOKENS, As::Admin, &json_type, body).expect(400);
    }
    let gzip = [("content-type", "application/json"), ("content-encoding", "gzip")];
    app.send("POST", TOKENS, As::Admin, &gzip, "{\"name\":\"a\"}")
        .expect(415);
    app.send(
        "POST",
        TOKENS,
        As::Admin,
        &[("content-type", "text/plain")],
        "{\"name\":\"a\"}",
    )
    .expect(415);
    app.send(
        "POST",
        TOKENS,
        As::Admin,
        &[("content-type", "application/vnd.x+json")],
        "{\"name\":\"a\"}",
    )
    .expect(200);
    for wrong in ["nonsense", "00000000-0000-0000-0000-00000000000", "%ff", "SELF"] {
        assert_eq!(
            app.get(&path(wrong), As::Admin).expect(404).text,
            r#"{"message":"there is no such token"}"#
        );
    }
    assert_eq!(
        app.get(TOKENS, As::Admin).json()["results"].as_array().unwrap().len(),
        2
    );
}

fn names_need_not_be_unique(lab: &Lab) {
    let app = lab.app();
    let body = json!({ "name": "the same, Jürgen's 🔑" });
    assert_ne!(app.new_token(&body).0, app.new_token(&body).0);
}

fn methods_and_paths_that_do_not_exist(lab: &Lab) {
    let app = lab.app();
    for (method, place, allowed) in [
        ("PUT", TOKENS.to_owned(), "GET, HEAD, POST, DELETE"),
        ("PATCH", path("x"), "GET, HEAD, POST, DELETE"),
        ("GET", path("x/rotate"), "POST"),
    ] {
        let answer = app.send(method, &place, As::Nobody, &[], "").expect(405);
        assert_eq!(answer.header("allow"), Some(allowed));
        assert_eq!(answer.json().as_object().unwrap().len(), 1);
    }
    assert_eq!(
        app.get(&path("x/y/z"), As::Admin).expect(404).text,
        r#"{"message":"there is nothing at this path"}"#
    );
    app.get(&format!("{TOKENS}/"), As::Admin).expect(200);
}
