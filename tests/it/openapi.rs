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
    every_operation_is_described,
    every_request_body_has_an_example,
    schemas_have_shapes_that_generators_take,
    schema_names_do_not_collide_in_generated_code,
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

fn every_operation_is_described(env: &TestEnv) {
    let document = document(env);
    let tags: BTreeSet<&str> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    for (path, operation) in operations(&document) {
        for field in ["summary", "description"] {
            let text = operation[field].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{path}: {} has no {field}", operation["operationId"]);
        }
        let [tag] = operation["tags"].as_array().unwrap().as_slice() else {
            panic!("{path}: {} does not have one tag", operation["operationId"]);
        };
        assert!(tags.contains(tag.as_str().unwrap()), "{path}: undeclared tag {tag}");
    }
}

fn every_request_body_has_an_example(env: &TestEnv) {
    let document = document(env);
    let mut seen = 0;
    for (path, operation) in operations(&document) {
        let Some(contents) = operation["requestBody"]["content"].as_object() else {
            continue;
        };
        for (content_type, content) in contents {
            let name = content["schema"]["$ref"].as_str().expect(path);
            let schema = document.pointer(name.trim_start_matches('#')).unwrap();
            let has_example = |value: &Value| !value["example"].is_null() || !value["examples"].is_null();
            assert!(
                has_example(content) || has_example(schema),
                "{path}: {content_type} has no example"
            );
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen}");
}

/// Calls `visit` with a value and everything in it except examples, each with its path.
fn walk(path: &str, value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, value);
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if !["example", "examples"].contains(&name.as_str()) {
                    walk(&format!("{path}/{name}"), field, visit);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(&format!("{path}/{index}"), item, visit);
            }
        }
        _ => {}
    }
}

fn schemas_have_shapes_that_generators_take(env: &TestEnv) {
    // Generators differ on choices and combinations: some ignore them, and others write code that does not compile.
    const REFUSED: &[&str] = &[
        "allOf",
        "anyOf",
        "const",
        "dependentSchemas",
        "if",
        "not",
        "oneOf",
        "patternProperties",
        "prefixItems",
        "unevaluatedProperties",
    ];
    let mut refused = Vec::new();
    walk("", &document(env), &mut |path, value| {
        let Some(schema) = value.as_object() else {
            return;
        };
        for keyword in REFUSED.iter().filter(|keyword| schema.contains_key(**keyword)) {
            refused.push(format!("{path}: {keyword}"));
        }
        let format = schema.get("format").and_then(Value::as_str);
        match schema.get("type") {
            Some(Value::Array(types)) if types.len() != 2 || types[1] != "null" => {
                refused.push(format!("{path}: more than one type that is not null"));
            }
            Some(Value::String(name)) if name == "integer" && !matches!(format, Some("int32" | "int64")) => {
                refused.push(format!("{path}: an integer without int32 or int64"));
            }
            _ => {}
        }
        // Generators make up names for inline objects, which change with the order of their uses.
        let is_component = path.matches('/').count() == 3 && path.starts_with("/components/schemas/");
        if schema.contains_key("type") && schema.contains_key("properties") && !is_component {
            refused.push(format!("{path}: an object that is not in components/schemas"));
        }
        if schema.get("enum").is_some_and(|values| {
            let values = values.as_array().unwrap();
            values.iter().any(|value| !value.is_string())
        }) {
            refused.push(format!("{path}: an enum of other values than strings"));
        }
    });
    assert!(refused.is_empty(), "{refused:#?}");
}

fn schema_names_do_not_collide_in_generated_code(env: &TestEnv) {
    let document = document(env);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    // As generators spell a name: without punctuation. File names may ignore case.
    let spell = |name: &str| name.replace(['.', '-', '_'], "").to_lowercase();
    let names: BTreeSet<String> = schemas.keys().map(|name| spell(name)).collect();
    assert_eq!(
        names.len(),
        schemas.len(),
        "two names differ only in case or punctuation"
    );
    for name in &names {
        // Go's constructors are called NewX, and its optional types NullableX. TypeScript's types for operations have
        // the names of operations with these endings.
        for other in [format!("new{name}"), format!("nullable{name}")] {
            assert!(!names.contains(&other), "{name}: generated code uses the name {other}");
        }
    }
    for (_, operation) in operations(&document) {
        let id = spell(operation["operationId"].as_str().unwrap());
        for ending in ["data", "error", "errors", "request", "response", "responses"] {
            let name = format!("{id}{ending}");
            assert!(!names.contains(&name), "{id}: generated code uses the name {name}");
        }
    }
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
    let files = [
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "swagger_ui.css",
        "swagger_ui.js",
    ];
    for file in files {
        let head = app
            .send("HEAD", &app.asset("/docs", file), Auth::Anonymous, &[], "")
            .expect(200);
        assert!(head.header("content-type").is_some());
    }
    assert_eq!(
        page.text.matches("src=").count() + page.text.matches("rel=\"stylesheet\"").count(),
        files.len()
    );
    let start = app
        .get(&app.asset("/docs", "swagger_ui.js"), Auth::Anonymous)
        .expect(200);
    assert!(start.text.contains("validatorUrl: null"));
    app.get("/docs/index.html", Auth::Anonymous).expect(404);
    app.get("/docs/oauth2-redirect.html", Auth::Anonymous).expect(404);
}
