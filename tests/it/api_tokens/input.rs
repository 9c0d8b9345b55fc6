//! Invalid input, methods, and paths.

use serde_json::json;

use super::path;
use crate::{
    support::{
        TestEnv,
        client::{Auth, TOKENS},
    },
    tests,
};

tests![invalid_input_is_reported, unknown_methods_and_paths_are_rejected];

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
