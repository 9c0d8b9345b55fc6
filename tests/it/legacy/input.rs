//! Invalid input, methods, and paths.

use serde_json::json;

use crate::{
    support::{
        TestEnv,
        client::{Auth, LEGACY, LEGACY_PRE_15},
    },
    tests,
};

tests![
    invalid_input_is_reported_in_the_legacy_format,
    unknown_methods_and_paths_are_rejected
];

fn invalid_input_is_reported_in_the_legacy_format(env: &TestEnv) {
    let app = env.app();
    let uuid = app.new_legacy_token(&json!({ "name": "kept" }));
    let json_type = ("content-type", "application/json");
    for (body, header, status, message) in [
        ("", json_type, 400, "the body must be a JSON object"),
        ("[]", json_type, 400, "the body must be a JSON object"),
        ("{}", json_type, 400, "name: is required"),
        (
            r#"{"name":""}"#,
            json_type,
            400,
            "name: must contain a visible character",
        ),
        (
            r#"{"name":"a\nb"}"#,
            json_type,
            400,
            "name: must not contain U+000A, a control or format character",
        ),
        (
            r#"{"name":"n","read":"yes"}"#,
            json_type,
            400,
            "read: must be true or false, not a string, write it without quotes",
        ),
        (
            r#"{"name":7}"#,
            json_type,
            400,
            "name: must be a string, not a number, write it in quotes",
        ),
        (
            "name=n",
            ("content-type", "application/x-www-form-urlencoded"),
            415,
            "the body must be uncompressed application/json, send Content-Type: application/json",
        ),
    ] {
        let response = app.send("POST", LEGACY, Auth::Admin, &[header], body).expect(status);
        assert_eq!(
            response.text,
            format!(r#"{{"message":"{message}","status-code":{status}}}"#),
            "{body}"
        );
    }
    let shell = app.send(
        "POST",
        LEGACY,
        Auth::Admin,
        &[json_type],
        r#"{"name":"n","read":"$(reboot); `x` | y & z < a > b \\ c"}"#,
    );
    assert!(
        !shell
            .expect(400)
            .message()
            .contains(['$', '`', ';', '|', '&', '<', '>', '(', ')', '\\'])
    );
    app.send(
        "PUT",
        &format!("{LEGACY}/{uuid}"),
        Auth::Admin,
        &[json_type],
        "{\"name\":",
    )
    .expect(400);
    assert_eq!(app.get(LEGACY, Auth::Admin).json().as_array().unwrap().len(), 1);
}

fn unknown_methods_and_paths_are_rejected(env: &TestEnv) {
    let app = env.app();
    for (method, path, allowed) in [
        ("PATCH", LEGACY.to_owned(), "GET, HEAD, POST"),
        ("DELETE", LEGACY_PRE_15.to_owned(), "GET, HEAD, POST"),
        ("FROB", format!("{LEGACY}/x"), "GET, HEAD, PUT, DELETE"),
        ("POST", format!("{LEGACY}/x"), "GET, HEAD, PUT, DELETE"),
    ] {
        let response = app.send(method, &path, Auth::Admin, &[], "").expect(405);
        assert_eq!(response.header("allow"), Some(allowed), "{method} {path}");
        assert_eq!(response.json()["status-code"], 405);
    }
    for path in [
        "/rest/agent-config/1.0",
        "/rest/agent/1.0/42/state",
        "/rest/agent-config/latest/tokens/x/y",
    ] {
        assert_eq!(
            app.get(path, Auth::Admin).expect(404).json()["status-code"],
            404,
            "{path}"
        );
    }
    assert_eq!(
        app.get("/nothing", Auth::Admin).expect(404).text,
        r#"{"message":"this path does not exist"}"#
    );
}
