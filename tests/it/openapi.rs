//! The OpenAPI document, and Swagger UI.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use crate::{
    support::{
        TestEnv,
        client::{Auth, LEGACY, TOKENS},
        program::Program,
    },
    tests,
};

tests![
    the_committed_document_is_up_to_date,
    every_error_response_has_a_schema_and_an_example,
    operation_ids_are_unique,
    every_documented_operation_is_routed,
    the_document_contains_the_context_path,
    swagger_ui_loads_nothing_from_other_hosts,
];

fn document(env: &TestEnv) -> Value {
    env.app().get("/openapi.json", Auth::Anonymous).expect(200).json()
}

fn the_committed_document_is_up_to_date(env: &TestEnv) {
    let printed = Program::new(&env.store.url()).run(&["openapi"]);
    assert_eq!(printed.exit_code, 0, "{printed:?}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let checked_in = std::fs::read_to_string(file).unwrap();
    assert!(
        checked_in == printed.stdout,
        "docs/openapi.json is outdated; run `tokenbridge openapi > docs/openapi.json`"
    );
    assert_eq!(serde_json::from_str::<Value>(&printed.stdout).unwrap(), document(env));
}

/// The operations, each with its path.
fn operations(document: &Value) -> Vec<(&str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        let of_path = item.as_object().unwrap().values();
        of_path.map(move |operation| (path.as_str(), operation))
    });
    operations.collect()
}

fn every_error_response_has_a_schema_and_an_example(env: &TestEnv) {
    let document = document(env);
    let mut seen = 0;
    for (path, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let response = match response["$ref"].as_str() {
                Some(name) => document.pointer(name.trim_start_matches('#')).unwrap(),
                None => response,
            };
            assert!(response["description"].is_string(), "{path} {status}");
            if status.starts_with(['2', '3']) || path.starts_with("/verify") {
                continue;
            }
            let json = &response["content"]["application/json"];
            assert!(json["schema"]["$ref"].is_string(), "{path} {status}");
            assert!(json["example"].is_object(), "{path} {status}");
            seen += 1;
        }
    }
    assert!(seen > 200, "only {seen}");
    let legacy = document
        .pointer("/paths/~1rest~1agent-config~11.0~1tokens/get")
        .unwrap();
    assert_eq!(legacy["deprecated"], true);
    assert_eq!(legacy["security"], serde_json::json!([{ "BasicAuth": [] }]));
}

fn operation_ids_are_unique(env: &TestEnv) {
    let document = document(env);
    let names: Vec<&str> = operations(&document)
        .iter()
        .map(|(_, operation)| operation["operationId"].as_str().unwrap())
        .collect();
    let different: BTreeSet<_> = names.iter().collect();
    assert_eq!(names.len(), different.len(), "{names:?}");
}

fn every_documented_operation_is_routed(env: &TestEnv) {
    let app = env.app();
    let document = document(env);
    let mut routed = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let documented: BTreeSet<String> = item.as_object().unwrap().keys().map(|key| key.to_uppercase()).collect();
        let id = "7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0";
        let url = path.replace("{id}", id).replace("{uuid}", id);
        let refused = app.send("PROPFIND", &url, Auth::Anonymous, &[], "");
        if path.starts_with("/verify") {
            // The gate takes every method; those of the document are the common ones.
            refused.expect(401);
            continue;
        }
        let refused = refused.expect(405);
        let allowed: BTreeSet<&str> = refused.header("allow").unwrap().split(", ").collect();
        for method in &allowed {
            let status = app.send(method, &url, Auth::Anonymous, &[], "").status;
            assert!(![404, 405].contains(&status), "{method} {path}: {status}");
            routed += 1;
        }
        let is_documented =
            |method: &&str| documented.contains(*method) || *method == "HEAD" && documented.contains("GET");
        assert!(allowed.iter().all(is_documented), "{path}: {allowed:?}");
        assert!(
            documented.iter().all(|method| allowed.contains(method.as_str())),
            "{path}: {allowed:?}"
        );
    }
    assert!(routed > 40, "only {routed}");
}

fn the_document_contains_the_context_path(env: &TestEnv) {
    let app = env.app_with(&["--base-path", "/bamboo"]);
    let document = app.get("/openapi.json", Auth::Anonymous).expect(200).json();
    assert_eq!(document["servers"][0]["url"], "/bamboo");
    for path in [LEGACY, TOKENS, "/verify", "/introspect", "/revoke", "/public/graphql"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}

fn swagger_ui_loads_nothing_from_other_hosts(env: &TestEnv) {
    let app = env.app_with(&["--base-path", "/bamboo"]);
    let page = app.get("/docs", Auth::Anonymous).expect(200);
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("connect-src 'self'")
    );
    assert!(page.text.contains("data-document=\"/bamboo/openapi.json\""));
    let files = ["swagger-ui.css", "swagger-ui-bundle.js", "swagger_ui.js"];
    for file in files {
        assert!(page.text.contains(&format!("/bamboo/docs/{file}")), "{file}");
        let head = app
            .send("HEAD", &format!("/docs/{file}"), Auth::Anonymous, &[], "")
            .expect(200);
        assert!(head.header("content-type").is_some());
    }
    assert_eq!(
        page.text.matches("src=").count() + page.text.matches("rel=\"stylesheet\"").count(),
        files.len()
    );
    let start = app.get("/docs/swagger_ui.js", Auth::Anonymous).expect(200);
    assert!(start.text.contains("validatorUrl: null"));
    app.get("/docs/index.html", Auth::Anonymous).expect(404);
    app.get("/docs/oauth2-redirect.html", Auth::Anonymous).expect(404);
}
