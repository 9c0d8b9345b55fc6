//! JSON bodies of every API: the messages about values of a wrong type.

use serde_json::json;

use crate::{
    support::{
        TestEnv,
        client::{Auth, LEGACY, TOKENS},
    },
    tests,
};

tests![wrong_types_are_explained];

/// Messages about values of a wrong type are in the terms of JSON, and do not show the value.
fn wrong_types_are_explained(env: &TestEnv) {
    let app = env.app();
    let (id, key) = app.new_token(&json!({ "name": "n" }));
    let (one, legacy) = (format!("{TOKENS}/{id}"), format!("{LEGACY}/{id}"));
    let rotate = format!("{one}/rotate");
    let graphql = "/public/graphql";
    let of_token: &[&str] = &[
        "name",
        "permissions",
        "allowedCIDRBlocks",
        "expiresAt",
        "description",
        "owner",
        "disabled",
    ];
    let of_legacy: &[&str] = &["name", "read", "change"];
    let calls = [
        ("POST", TOKENS, of_token),
        ("POST", &one, of_token),
        ("POST", &rotate, &["gracePeriodSeconds", "expiresAt"]),
        ("POST", LEGACY, of_legacy),
        ("PUT", &legacy, of_legacy),
        ("POST", graphql, &["query", "operationName", "variables"]),
    ];
    let values = [
        json!("secret"),
        json!(7),
        json!(1.5),
        json!(true),
        json!([{}]),
        json!({ "a": 1 }),
    ];
    let mut explained = 0;
    for (method, path, fields) in calls {
        let auth = if path == graphql { Auth::Key(&key) } else { Auth::Admin };
        for (field, value) in fields
            .iter()
            .flat_map(|field| values.iter().map(move |value| (*field, value)))
        {
            let mut body = if path == graphql {
                json!({ "query": "{ generalSettings { pantherVersion } }" })
            } else if [TOKENS, LEGACY].contains(&path) {
                json!({ "name": "n" })
            } else {
                json!({})
            };
            body[field] = value.clone();
            let headers = [("content-type", "application/json")];
            let response = app.send(method, path, auth, &headers, &body.to_string());
            // A text can be accepted, or refused for what it says.
            if response.status != 400 || value.is_string() && !response.text.contains(", not ") {
                continue;
            }
            assert!(response.text.contains(field), "{path} {body}: {response:?}");
            for foreign in [
                "invalid type",
                "expected",
                "sequence",
                "map",
                "f64",
                "at line",
                "secret",
            ] {
                assert!(!response.text.contains(foreign), "{path} {body}: {response:?}");
            }
            explained += 1;
        }
    }
    // Every field refuses at least three of the six types.
    assert!(explained >= 3 * 25, "{explained}");
    for body in [
        "{",
        "{\"name\":}",
        "{\"name\":\"n\"} x",
        "{\"name\":\"n\",\"name\":\"n\"}",
    ] {
        let message = app.send(
            "POST",
            TOKENS,
            Auth::Admin,
            &[("content-type", "application/json")],
            body,
        );
        let message = message.expect(400).message();
        assert!(
            message.starts_with("the body is not valid JSON: ") || message.starts_with("name: "),
            "{message}"
        );
    }
}
