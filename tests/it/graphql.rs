//! GraphQL at `/public/graphql`, and its playground.

pub mod bounds;

use serde_json::{Value, json};

use crate::{
    support::{
        TestApp, TestEnv,
        client::{Auth, Response, TOKENS, string},
    },
    tests,
};

tests![
    the_connection_check_of_panthers_tool_succeeds,
    a_token_rotates_itself,
    a_request_rotates_once,
    a_missing_variable_is_reported_before_execution,
    fragments_count_toward_the_limits,
    only_token_values_are_accepted,
    the_schema_has_the_documented_types,
    errors_have_the_standard_shape,
    an_unavailable_store_is_a_field_error,
];
tests![SQLITE_TESTS: the_playground_loads_nothing_from_other_hosts];

const GRAPHQL: &str = "/public/graphql";

fn ask(app: &TestApp, auth: Auth<'_>, query: &str) -> Response {
    app.post(GRAPHQL, auth, &json!({ "query": query }))
}

fn new_key(app: &TestApp) -> String {
    app.new_token(&json!({ "name": "n", "permissions": ["AlertRead"] })).1
}

const ROTATE: &str = "mutation { rotateAPIToken { token { id name value permissions allowedCIDRBlocks createdAt expiresAt \
    lastUsedAt rotatedAt updatedAt } } }";

fn the_connection_check_of_panthers_tool_succeeds(env: &TestEnv) {
    let app = env.app();
    let key = new_key(&app);
    let body = json!({
        "operationName": "GetVersion", "variables": {},
        "query": "query GetVersion { generalSettings { pantherVersion } }",
    });
    let response = app.post(GRAPHQL, Auth::Key(&key), &body).expect(200);
    assert_eq!(
        response.json(),
        json!({ "data": { "generalSettings": { "pantherVersion": env!("CARGO_PKG_VERSION") } } })
    );
    app.post(GRAPHQL, Auth::Bearer(&key), &body).expect(200);
}

fn a_token_rotates_itself(env: &TestEnv) {
    let app = env.app();
    let body = json!({ "name": "n", "permissions": ["UserRead", "AlertRead"], "allowedCIDRBlocks": ["127.0.0.0/8"] });
    let (id, key) = app.new_token(&body);
    let response = ask(&app, Auth::Key(&key), ROTATE).expect(200).json();
    let token = &response["data"]["rotateAPIToken"]["token"];
    let now = env.clock.seconds_from_now(0);
    let value = string(&token["value"]);
    assert_eq!(
        *token,
        json!({
            "id": id, "name": "n", "value": value, "permissions": ["AlertRead", "UserRead"],
            "allowedCIDRBlocks": ["127.0.0.0/8"], "createdAt": now, "expiresAt": null, "lastUsedAt": now,
            "rotatedAt": now, "updatedAt": null,
        })
    );
    app.get("/api-tokens/self", Auth::Key(&value)).expect(200);
    ask(&app, Auth::Key(&key), ROTATE).expect(401);
    let channels = env
        .store
        .texts("SELECT channel AS found FROM audit_events WHERE action = 'token.rotated'");
    assert_eq!(channels, ["graphql"]);
}

fn a_request_rotates_once(env: &TestEnv) {
    let app = env.app();
    for query in [
        "mutation { a: rotateAPIToken { token { id value } } b: rotateAPIToken { token { value } } }",
        "mutation { rotateAPIToken { token { id } } rotateAPIToken { token { value } } }",
        "mutation { ...A ...B } fragment A on Mutation { rotateAPIToken { token { id } } } \
         fragment B on Mutation { rotateAPIToken { token { value } } }",
    ] {
        let response = ask(&app, Auth::Key(&new_key(&app)), query).expect(200).json();
        assert_eq!(response.get("errors"), None, "{query}: {response}");
        let rotated = response["data"].as_object().unwrap().values();
        let values: Vec<String> = rotated.map(|rotated| string(&rotated["token"]["value"])).collect();
        assert!(values.iter().all(|value| *value == values[0]), "{query}");
        app.get("/api-tokens/self", Auth::Key(&values[0])).expect(200);
    }
}

fn a_missing_variable_is_reported_before_execution(env: &TestEnv) {
    let app = env.app();
    let key = new_key(&app);
    let query = "mutation($a: Boolean!) { rotateAPIToken { token { value @include(if: $a) } } }";
    let response = ask(&app, Auth::Key(&key), query).expect(200).json();
    assert_eq!(response["errors"][0]["message"], "the variable $a is required");
    app.get("/api-tokens/self", Auth::Key(&key)).expect(200);
    let body = json!({ "query": query, "variables": { "a": true } });
    let rotated = app.post(GRAPHQL, Auth::Key(&key), &body).expect(200).json();
    assert!(rotated["data"]["rotateAPIToken"]["token"]["value"].is_string());
}

fn fragments_count_toward_the_limits(env: &TestEnv) {
    let app = env.app();
    let key = new_key(&app);
    let fragment = |n: usize, width: usize| {
        format!(
            " fragment f{n} on Query {{ {} }}",
            format!("...f{} ", n + 1).repeat(width)
        )
    };
    let bomb = |levels: usize, width: usize| {
        let fragments: Vec<String> = (0..levels).map(|n| fragment(n, width)).collect();
        format!(
            "{{ ...f0 }} {} fragment f{levels} on Query {{ __typename }}",
            fragments.concat()
        )
    };
    let names: Vec<String> = (0..3000).map(|n| format!("a{n}: __typename")).collect();
    let began = std::time::Instant::now();
    for (query, what) in [
        (bomb(30, 2), "is too complex"),
        (bomb(3, 100), "is too complex"),
        (bomb(60, 2), "is nested more than 32 levels deep"),
        (
            format!(
                "{{ __typename }} {}",
                bomb(30, 2).replacen("{ ...f0 }", "query Other { ...f0 }", 1)
            ),
            "",
        ),
        (format!("{{ {} }}", names.join(" ")), "is too complex"),
        (format!("{{ {} }}", "...nowhere ".repeat(4000)), "is too complex"),
        (
            format!("{{ __typename {} }}", "@skip(if: false) ".repeat(3000)),
            "is too complex",
        ),
        (
            "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }".to_owned(),
            "",
        ),
    ] {
        let response = ask(&app, Auth::Key(&key), &query).expect(200);
        assert!(response.text.len() < 2000, "{}", response.text.len());
        let message = string(&response.json()["errors"][0]["message"]);
        assert!(message.contains(what), "{message}");
    }
    assert!(
        began.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

fn only_token_values_are_accepted(env: &TestEnv) {
    let app = env.app();
    let uuid = app.new_legacy_token(&json!({ "name": "agent", "read": true }));
    for auth in [
        Auth::Anonymous,
        Auth::Admin,
        Auth::Key("tbk_wrong"),
        Auth::Key(&uuid),
        Auth::Bearer("x"),
    ] {
        let refused = ask(&app, auth, "{ generalSettings { pantherVersion } }").expect(401);
        assert_eq!(refused.header("www-authenticate"), Some("ApiKey"));
        assert_eq!(
            refused.json()["errors"][0]["extensions"]["code"],
            "UNAUTHORIZED",
            "{auth:?}"
        );
        assert!(refused.json()["errors"][0]["message"].is_string());
    }
}

/// The fields of a type as `name: Type`, in GraphQL's own notation.
fn fields(app: &TestApp, key: &str, name: &str) -> Vec<String> {
    fn notation(of: &Value) -> String {
        match of["kind"].as_str().unwrap() {
            "NON_NULL" => format!("{}!", notation(&of["ofType"])),
            "LIST" => format!("[{}]", notation(&of["ofType"])),
            _ => string(&of["name"]),
        }
    }
    let kinds = "kind name ofType { kind name ofType { kind name ofType { kind name } } }";
    let query =
        format!("{{ __type(name: \"{name}\") {{ fields {{ name type {{ {kinds} }} }} enumValues {{ name }} }} }}");
    let found = ask(app, Auth::Key(key), &query).expect(200).json()["data"]["__type"].clone();
    let of_fields = found["fields"].as_array().into_iter().flatten();
    let of_values = found["enumValues"].as_array().into_iter().flatten();
    of_fields
        .map(|field| format!("{}: {}", string(&field["name"]), notation(&field["type"])))
        .chain(of_values.map(|value| string(&value["name"])))
        .collect()
}

fn the_schema_has_the_documented_types(env: &TestEnv) {
    let app = env.app();
    let key = new_key(&app);
    assert_eq!(
        fields(&app, &key, "APIToken"),
        [
            "allowedCIDRBlocks: [String!]!",
            "createdAt: DateTime!",
            "expiresAt: DateTime",
            "id: ID!",
            "lastUsedAt: DateTime",
            "name: String!",
            "permissions: [Permission!]!",
            "rotatedAt: DateTime",
            "updatedAt: DateTime",
            "value: String",
        ]
    );
    assert_eq!(
        fields(&app, &key, "Mutation"),
        ["rotateAPIToken: RotateAPITokenOutput!"]
    );
    assert_eq!(fields(&app, &key, "RotateAPITokenOutput"), ["token: APIToken"]);
    assert_eq!(fields(&app, &key, "Query"), ["generalSettings: GeneralSettings!"]);
    assert_eq!(fields(&app, &key, "GeneralSettings"), ["pantherVersion: String!"]);
    assert_eq!(fields(&app, &key, "Permission").len(), 39);
}

fn errors_have_the_standard_shape(env: &TestEnv) {
    let app = env.app();
    let key = new_key(&app);
    for query in [
        "",
        "{",
        "{ nothing }",
        "mutation { generalSettings }",
        "query A { a } query B { b }",
    ] {
        let response = ask(&app, Auth::Key(&key), query).expect(200).json();
        assert!(response["errors"][0]["message"].is_string(), "{query}: {response}");
    }
    let broken = app.send(
        "POST",
        GRAPHQL,
        Auth::Key(&key),
        &[("content-type", "application/json")],
        "{",
    );
    assert!(broken.expect(400).json()["errors"][0]["message"].is_string());
    let list = app.post(GRAPHQL, Auth::Key(&key), &json!([{ "query": "{ __typename }" }]));
    list.expect(400);
    let refused = app.delete(GRAPHQL, Auth::Key(&key)).expect(405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD, POST"));
}

fn an_unavailable_store_is_a_field_error(env: &TestEnv) {
    let app = env.app();
    let key = new_key(&app);
    ask(&app, Auth::Key(&key), "{ __typename }").expect(200);
    env.store.execute("ALTER TABLE audit_events RENAME TO elsewhere");
    let response = ask(&app, Auth::Key(&key), ROTATE).expect(200).json();
    assert_eq!(
        response["data"],
        json!({ "rotateAPIToken": { "token": null } }),
        "{response}"
    );
    let message = string(&response["errors"][0]["message"]);
    assert!(!message.contains("audit_events"), "{message}");
    env.store.execute("ALTER TABLE elsewhere RENAME TO audit_events");
    app.get(&format!("{TOKENS}/self"), Auth::Key(&key)).expect(200);
}

fn the_playground_loads_nothing_from_other_hosts(env: &TestEnv) {
    let app = env.app_with(&["--base-path", "/bamboo"]);
    let page = app.get(GRAPHQL, Auth::Anonymous).expect(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
    assert!(page.text.contains("X-API-Key: &lt;ENTER_YOUR_KEY_HERE&gt;"));
    for (file, content_type) in [("css", "text/css"), ("js", "text/javascript")] {
        let path = app.asset(GRAPHQL, &format!("playground.{file}"));
        let response = app.get(&path, Auth::Anonymous).expect(200);
        assert!(response.header("content-type").unwrap().starts_with(content_type));
        assert!(
            !response.text.contains("://") || file == "js" && !response.text.contains("http"),
            "{path}"
        );
    }
    app.get(&format!("{GRAPHQL}/other.js"), Auth::Anonymous).expect(404);
}
