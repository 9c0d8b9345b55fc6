//! Audit events: one for every change, in its transaction, and for every refused login.

use serde_json::{Value, json};

use crate::{
    support::{
        Lab,
        client::{As, LEGACY, LEGACY_PRE_15, TOKENS, string},
        program::Program,
    },
    tests,
};

tests![every_change_is_remembered, refused_logins_are_counted];

/// The events: action, door, actor, token, what changed.
fn events(lab: &Lab) -> Vec<Value> {
    let rows = lab.store.texts(
        "SELECT action || '|' || door || '|' || coalesce(actor_type || ' ' || actor_id, '-') || '|' || coalesce(client, '-') || '|'
             || coalesce(token_id, '-') || '|' || details AS found
         FROM audit_events ORDER BY seq",
    );
    let event = |row: String| {
        let parts: Vec<&str> = row.splitn(6, '|').collect();
        json!([
            parts[0],
            parts[1],
            parts[2],
            parts[3],
            parts[4],
            serde_json::from_str::<Value>(parts[5]).unwrap()
        ])
    };
    rows.into_iter().map(event).collect()
}

fn every_change_is_remembered(lab: &Lab) {
    let app = lab.app();
    let before = events(lab).len();
    let uuid = app.new_legacy_token(&json!({ "name": "n", "read": true }));
    app.put(
        &format!("{LEGACY_PRE_15}/{uuid}"),
        As::Admin,
        &json!({ "change": true }),
    )
    .expect(200);
    let rotated = app
        .post(
            &format!("{TOKENS}/{uuid}/rotate"),
            As::Admin,
            &json!({ "gracePeriodSeconds": 5 }),
        )
        .expect(200)
        .json();
    let value = string(&rotated["value"]);
    app.post(&format!("{TOKENS}/self"), As::Key(&value), &json!({ "name": "m" }))
        .expect(200);
    app.delete(&format!("{LEGACY}/{uuid}"), As::Admin).expect(204);
    // What is refused or changes nothing is no change.
    app.delete(&format!("{LEGACY}/{uuid}"), As::Admin).expect(404);
    app.post(LEGACY, As::Admin, &json!({})).expect(400);
    let program = Program::new(&lab.store.url());
    assert_eq!(
        program
            .run_with_input(&["admin", "add", "ops", "--password-stdin"], "a password")
            .code,
        0
    );
    assert_eq!(
        program
            .run_with_input(&["admin", "passwd", "ops", "--password-stdin"], "another")
            .code,
        0
    );
    assert_eq!(program.run(&["admin", "remove", "ops"]).code, 0);
    let (read, modify) = ("OrganizationAPITokenRead", "OrganizationAPITokenModify");
    let made = json!({ "name": "n", "permissions": [read], "allowedCIDRBlocks": [], "expiresAt": null });
    let gone = json!({ "name": "m", "permissions": [modify, read], "allowedCIDRBlocks": [], "expiresAt": null });
    let ops = json!({ "admin": "ops" });
    assert_eq!(
        events(lab).split_off(before),
        [
            json!(["token.created", "legacy-1.0", "user admin", "127.0.0.1", uuid, made]),
            json!(["token.updated", "legacy-pre-1.5", "user admin", "127.0.0.1", uuid, { "permissions": { "from": [read], "to": [modify, read] } }]),
            json!(["token.rotated", "api-tokens", "user admin", "127.0.0.1", uuid, { "gracePeriodSeconds": 5 }]),
            json!(["token.updated", "api-tokens", format!("api-token {uuid}"), "127.0.0.1", uuid, { "name": { "from": "n", "to": "m" } }]),
            json!(["token.deleted", "legacy-1.0", "user admin", "127.0.0.1", uuid, gone]),
            json!(["admin.added", "cli", "system cli", "-", "-", ops]),
            json!(["admin.password-changed", "cli", "system cli", "-", "-", ops]),
            json!(["admin.removed", "cli", "system cli", "-", "-", ops]),
        ]
    );
}

fn refused_logins_are_counted(lab: &Lab) {
    let app = lab.app();
    let before = events(lab).len();
    let (id, value) = app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["192.0.2.0/24"] }));
    for _ in 0..3 {
        app.get(LEGACY, As::Basic("admin", "wrong")).expect(401);
    }
    app.get(TOKENS, As::Basic("a stranger", "wrong")).expect(401);
    app.get(TOKENS, As::Key("nonsense")).expect(401);
    app.get(TOKENS, As::Key(&value)).expect(401);
    app.stop();
    let mut refused = events(lab).split_off(before + 1);
    refused.sort_by_key(ToString::to_string);
    // Three that are alike may be written as one event or, when a batch ended between them, as more.
    let total = |door: &str, token: &str, admin: Value, reason: &str| -> u64 {
        let alike = |event: &&Value| {
            event[1] == door && event[4] == token && event[5]["admin"] == admin && event[5]["reason"] == reason
        };
        refused
            .iter()
            .filter(alike)
            .map(|event| event[5]["count"].as_u64().unwrap())
            .sum()
    };
    let wrong = "the user name or the password is wrong";
    assert_eq!(total("legacy-1.0", "-", json!("admin"), wrong), 3, "{refused:?}");
    assert_eq!(total("api-tokens", "-", json!(null), wrong), 1);
    assert_eq!(total("api-tokens", "-", json!(null), "the API key is not valid"), 1);
    assert_eq!(
        total(
            "api-tokens",
            &id,
            json!(null),
            "the API key may not be used from this address"
        ),
        1
    );
    assert!(
        refused
            .iter()
            .all(|event| event[0] == "login.refused" && event[2] == "-" && event[3] == "127.0.0.1")
    );
}
