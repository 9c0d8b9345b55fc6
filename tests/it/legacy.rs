//! The legacy API, as existing scripts use it.

pub mod input;

use serde_json::json;

use crate::{
    support::{
        TestEnv,
        client::{Auth, LEGACY, LEGACY_PRE_15, LEGACY_PREFIXES, TOKENS},
    },
    tests,
};

tests![
    every_prefix_serves_the_same_tokens,
    creating_returns_200_with_four_ordered_fields,
    read_and_change_default_to_false,
    unknown_fields_and_a_uuid_are_ignored_in_a_create,
    the_list_is_a_bare_array_oldest_first,
    a_long_list_is_streamed_completely,
    an_update_changes_only_the_given_fields,
    an_update_never_creates,
    one_token_can_be_read_and_deleted,
    the_json_suffix_is_the_only_alias,
    only_admins_with_basic_authentication_are_accepted,
    atlassian_headers_are_ignored,
    every_response_announces_the_deprecation,
    head_responses_match_get,
    the_context_path_prefixes_every_route,
    read_only_mode_rejects_writes,
    off_mode_names_the_successor,
];

/// The endings of a path that change nothing.
const ENDINGS: [&str; 4] = ["", "/", ".json", ".json/"];

fn every_prefix_serves_the_same_tokens(env: &TestEnv) {
    let app = env.app();
    let mut texts = Vec::new();
    for prefix in LEGACY_PREFIXES {
        for ending in ENDINGS {
            let path = format!("{prefix}{ending}");
            let created = app
                .post(&path, Auth::Admin, &json!({ "name": path, "read": true }))
                .expect(200);
            let uuid = created.json()["uuid"].as_str().unwrap().to_owned();
            texts.push(created.text);
            app.put(
                &format!("{prefix}/{uuid}{ending}"),
                Auth::Admin,
                &json!({ "read": true }),
            )
            .expect(200);
        }
    }
    let whole = format!("[{}]", texts.join(","));
    for prefix in LEGACY_PREFIXES {
        for ending in ENDINGS {
            assert_eq!(
                app.get(&format!("{prefix}{ending}"), Auth::Admin).expect(200).text,
                whole
            );
        }
    }
}

fn creating_returns_200_with_four_ordered_fields(env: &TestEnv) {
    let response = env
        .app()
        .post(
            LEGACY,
            Auth::Admin,
            &json!({ "change": false, "read": true, "name": "Test Token" }),
        )
        .expect(200);
    let uuid = response.json()["uuid"].as_str().unwrap().to_owned();
    assert_eq!(
        response.text,
        format!(r#"{{"uuid":"{uuid}","name":"Test Token","read":true,"change":false}}"#)
    );
    assert_eq!(uuid::Uuid::parse_str(&uuid).unwrap().get_version_num(), 4);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
}

fn read_and_change_default_to_false(env: &TestEnv) {
    let created = env
        .app()
        .post(LEGACY, Auth::Admin, &json!({ "name": "n", "change": null }))
        .expect(200)
        .json();
    assert_eq!((&created["read"], &created["change"]), (&json!(false), &json!(false)));
}

fn unknown_fields_and_a_uuid_are_ignored_in_a_create(env: &TestEnv) {
    let chosen = "7ba167aa-631c-4771-b197-fcb459cc7fd7";
    let body = json!({ "uuid": chosen, "name": "n", "permissions": ["UserModify"], "what": { "ever": [1] } });
    let created = env.app().post(LEGACY, Auth::Admin, &body).expect(200).json();
    assert_ne!(created["uuid"], chosen);
    assert_eq!(created.as_object().unwrap().len(), 4);
}

fn the_list_is_a_bare_array_oldest_first(env: &TestEnv) {
    let app = env.app();
    assert_eq!(app.get(LEGACY, Auth::Admin).expect(200).text, "[]");
    let one = app.new_legacy_token(&json!({ "name": "readOnly", "read": true }));
    let two = app.new_legacy_token(&json!({ "name": "read and write", "read": true, "change": true }));
    let list = app.get(LEGACY, Auth::Admin).expect(200);
    assert_eq!(
        list.text,
        format!(
            r#"[{{"uuid":"{one}","name":"readOnly","read":true,"change":false}},{{"uuid":"{two}","name":"read and write","read":true,"change":true}}]"#
        )
    );
    assert_eq!(list.header("content-type"), Some("application/json"));
}

fn a_long_list_is_streamed_completely(env: &TestEnv) {
    const TOKENS: usize = 9000;
    let rows: Vec<String> = (0..TOKENS)
        .map(|n| {
            format!(
                "('{n:08x}-0000-4000-8000-000000000000','token {n}','OrganizationAPITokenRead','',1,'system','cli')"
            )
        })
        .collect();
    env.store.execute(&format!(
        "INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, created_at, created_by_type, created_by_id) VALUES {}",
        rows.join(",")
    ));
    let response = env.app().get(LEGACY, Auth::Admin).expect(200);
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    let list = response.json();
    let names: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["name"].as_str().unwrap())
        .collect();
    let expected: Vec<String> = (0..TOKENS).map(|n| format!("token {n}")).collect();
    assert_eq!(names, expected);
}

fn an_update_changes_only_the_given_fields(env: &TestEnv) {
    let app = env.app();
    let uuid = app.new_legacy_token(&json!({ "name": "n", "read": true }));
    let path = format!("{LEGACY}/{uuid}");
    let text =
        |name: &str, read, change| format!(r#"{{"uuid":"{uuid}","name":"{name}","read":{read},"change":{change}}}"#);
    let whole = json!({ "uuid": uuid, "name": "give me more power", "read": true, "change": true });
    assert_eq!(
        app.put(&path, Auth::Admin, &whole).expect(200).text,
        text("give me more power", true, true)
    );
    assert_eq!(
        app.put(&path, Auth::Admin, &json!({ "read": false })).expect(200).text,
        text("give me more power", false, true)
    );
    assert_eq!(
        app.put(&path, Auth::Admin, &json!({ "name": "m" })).expect(200).text,
        text("m", false, true)
    );
    assert_eq!(
        app.put(&path, Auth::Admin, &json!({})).expect(200).text,
        text("m", false, true)
    );
    let upper = json!({ "uuid": uuid.to_uppercase(), "change": false });
    assert_eq!(
        app.put(&path, Auth::Admin, &upper).expect(200).text,
        text("m", false, false)
    );
    let other = json!({ "uuid": "7ba167aa-631c-4771-b197-fcb459cc7fd7", "name": "never" });
    assert!(
        app.put(&path, Auth::Admin, &other)
            .expect(400)
            .message()
            .starts_with("uuid: ")
    );
    assert_eq!(app.get(&path, Auth::Admin).text, text("m", false, false));
}

fn an_update_never_creates(env: &TestEnv) {
    let app = env.app();
    let unknown = format!("{LEGACY}/7ba167aa-631c-4771-b197-fcb459cc7fd7");
    let body = json!({ "name": "n", "read": true });
    assert_eq!(
        app.put(&unknown, Auth::Admin, &body).expect(404).text,
        r#"{"message":"there is no such token","status-code":404}"#
    );
    app.put(&format!("{LEGACY}/nonsense"), Auth::Admin, &body).expect(404);
    assert_eq!(app.get(LEGACY, Auth::Admin).text, "[]");
}

fn one_token_can_be_read_and_deleted(env: &TestEnv) {
    let app = env.app();
    let uuid = app.new_legacy_token(&json!({ "name": "n" }));
    let path = format!("{LEGACY_PRE_15}/{uuid}");
    assert_eq!(app.get(&path, Auth::Admin).expect(200).json()["uuid"], uuid);
    assert_eq!(app.delete(&path, Auth::Admin).expect(204).text, "");
    app.get(&path, Auth::Admin).expect(404);
    app.delete(&path, Auth::Admin).expect(404);
}

fn the_json_suffix_is_the_only_alias(env: &TestEnv) {
    let app = env.app();
    for prefix in LEGACY_PREFIXES {
        let uuid = app.new_legacy_token(&json!({ "name": "n" }));
        let path = format!("{prefix}/{uuid}.json");
        assert_eq!(app.get(&path, Auth::Admin).expect(200).json()["uuid"], uuid);
        app.send("HEAD", &path, Auth::Admin, &[], "").expect(200);
        let refused = app.send("POST", &path, Auth::Admin, &[], "").expect(405);
        assert_eq!(refused.header("allow"), Some("GET, HEAD, PUT, DELETE"));
        app.get(&path, Auth::Anonymous).expect(401);
        for suffix in [
            ".xml",
            ".JSON",
            ".json.json",
            ".jsonx",
            ".",
            "%2Ejson",
            "%2ejson",
            "%20",
            ";x=1",
            "%00",
        ] {
            for path in [format!("{prefix}{suffix}"), format!("{prefix}/{uuid}{suffix}")] {
                let refused = app.get(&path, Auth::Admin).expect(404);
                assert_eq!(refused.json()["status-code"], 404, "{path}");
            }
        }
        app.delete(&path, Auth::Admin).expect(204);
        app.get(&format!("{prefix}/{uuid}"), Auth::Admin).expect(404);
    }
    app.get(&format!("{TOKENS}.json"), Auth::Admin).expect(404);
}

fn only_admins_with_basic_authentication_are_accepted(env: &TestEnv) {
    let app = env.app();
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    for auth in Auth::except_admin(&value) {
        for response in [app.get(LEGACY, auth), app.post(LEGACY, auth, &json!({ "name": "n" }))] {
            let response = response.expect(401);
            assert_eq!(
                response.header("www-authenticate"),
                Some("Basic realm=\"tokenbridge\", charset=\"UTF-8\""),
                "{auth:?}"
            );
            assert_eq!(response.json()["status-code"], 401);
        }
    }
    for other in ["Digest a=b", "Bearer", "Negotiate"] {
        let response = app
            .send("GET", LEGACY, Auth::Anonymous, &[("authorization", other)], "")
            .expect(401);
        assert!(
            response.header("www-authenticate").unwrap().starts_with("Basic "),
            "{other}"
        );
    }
    // Other credentials in the request are ignored.
    app.send("GET", LEGACY, Auth::Admin, &[("x-api-key", "x")], "")
        .expect(200);
}

fn atlassian_headers_are_ignored(env: &TestEnv) {
    let headers = [
        ("x-atlassian-token", "nocheck"),
        ("content-type", "application/json"),
        ("cookie", "JSESSIONID=1"),
    ];
    let path = format!("{LEGACY}?os_authType=basic");
    env.app()
        .send("POST", &path, Auth::Admin, &headers, r#"{"name":"n"}"#)
        .expect(200);
}

fn every_response_announces_the_deprecation(env: &TestEnv) {
    let app = env.app_with(&[
        "--legacy-deprecation",
        "2027-01-01",
        "--legacy-sunset",
        "2033-12-31",
        "--base-path",
        "/bamboo",
    ]);
    for response in [
        app.get(LEGACY, Auth::Admin).expect(200),
        app.get(LEGACY, Auth::Anonymous).expect(401),
        app.get(&format!("{LEGACY}/x"), Auth::Admin).expect(404),
        app.get("/rest/agent/latest/nothing", Auth::Admin).expect(404),
        app.send("PATCH", LEGACY_PRE_15, Auth::Admin, &[], "").expect(405),
    ] {
        assert_eq!(response.header("deprecation"), Some("@1798761600"));
        assert_eq!(response.header("sunset"), Some("Sat, 31 Dec 2033 00:00:00 GMT"));
        assert_eq!(
            response.header("link"),
            Some("</bamboo/api-tokens>; rel=\"successor-version\"")
        );
    }
    let app = env.app();
    let response = app.get(LEGACY, Auth::Admin);
    assert_eq!(
        (response.header("deprecation"), response.header("sunset")),
        (Some("@1795219200"), None)
    );
    assert_eq!(app.get(TOKENS, Auth::Admin).header("deprecation"), None);
}

fn head_responses_match_get(env: &TestEnv) {
    let app = env.app();
    let head = app.send("HEAD", LEGACY, Auth::Admin, &[], "").expect(200);
    assert_eq!(
        (head.text.as_str(), head.header("content-type")),
        ("", Some("application/json"))
    );
}

fn the_context_path_prefixes_every_route(env: &TestEnv) {
    let app = env.app_with(&["--base-path", "/builds/"]);
    for path in [LEGACY, LEGACY_PRE_15, TOKENS, "/healthz", "/readyz"] {
        app.get(path, Auth::Admin).expect(200);
        let bare = app.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        assert!(bare.starts_with("HTTP/1.1 404 "), "{bare}");
    }
}

fn read_only_mode_rejects_writes(env: &TestEnv) {
    let uuid = env.app().new_legacy_token(&json!({ "name": "n" }));
    let app = env.app_with(&["--legacy", "read-only"]);
    app.get(LEGACY, Auth::Admin).expect(200);
    let refused = [
        app.post(LEGACY, Auth::Admin, &json!({ "name": "m" })),
        app.put(&format!("{LEGACY}/{uuid}"), Auth::Admin, &json!({ "name": "m" })),
        app.delete(&format!("{LEGACY}/{uuid}"), Auth::Admin),
    ];
    for response in refused {
        assert_eq!(response.expect(403).message(), "this API is read-only, use /api-tokens");
    }
    assert_eq!(app.get(&format!("{LEGACY}/{uuid}"), Auth::Admin).json()["name"], "n");
    app.post(TOKENS, Auth::Admin, &json!({ "name": "m" })).expect(200);
}

fn off_mode_names_the_successor(env: &TestEnv) {
    let app = env.app_with(&["--legacy", "off"]);
    for path in LEGACY_PREFIXES {
        let response = app.get(path, Auth::Admin).expect(410);
        assert_eq!(
            response.text,
            r#"{"message":"this API is switched off, use /api-tokens","status-code":410}"#
        );
        assert!(response.header("link").is_some());
    }
    app.get(TOKENS, Auth::Admin).expect(200);
}
