//! The gate, GraphQL, introspection, reports and operations.

use serde_json::{Value, json};

use super::{Operation, new_token, operation, record_common_errors};
use crate::support::{
    MODIFY, READ, START, TestApp, TestEnv,
    client::{Auth, LEGACY, TOKENS},
    recorder::{Recorder, Request},
    time,
};

const FORM: &str = "application/x-www-form-urlencoded";
const METADATA: &str = "/.well-known/oauth-authorization-server";
const METHODS: [(&str, &str); 7] = [
    ("GET", "Get"),
    ("HEAD", "Head"),
    ("OPTIONS", "Options"),
    ("POST", "Post"),
    ("PUT", "Put"),
    ("PATCH", "Patch"),
    ("DELETE", "Delete"),
];

pub fn record_verify(env: &TestEnv) -> Recorder {
    let mut recorder = Recorder::default();
    let app = env.app();
    let manager = new_token(&mut recorder, &app, "manager & co", &[READ, MODIFY]).1;
    let plain = new_token(&mut recorder, &app, "plain", &[]).1;
    let operations: Vec<Operation<'_>> = [("/verify", "verify"), ("/verify/alerts/7?x=1", "verifyPath")]
        .into_iter()
        .flat_map(|(path, id)| METHODS.map(|(method, suffix)| (method, path, format!("{id}{suffix}"))))
        .map(|(method, path, id)| operation(&id, Request::new(method, path, Auth::Key(&manager))))
        .collect();
    for Operation { id, request } in &operations {
        recorder.record(&app, id, 200, "the token holds the permissions", request);
        let plain = request.auth(Auth::Key(&plain));
        recorder.record(&app, id, 403, "a permission is missing", &plain);
        if request.path == "/verify" {
            recorder.record(&app, id, 403, "an unknown parameter", &request.path("/verify?x=1"));
        }
    }
    let alert = operations[0].request.path("/verify?require=AlertRead");
    recorder.record(&app, "verifyGet", 403, "a required permission is missing", &alert);
    drop(app);
    record_common_errors(env, &mut recorder, &operations);
    recorder
}

pub fn record(env: &TestEnv) -> Recorder {
    let mut recorder = Recorder::default();
    let app = env.app();
    let manager = new_token(&mut recorder, &app, "manager", &[READ, MODIFY]).1;
    let plain = new_token(&mut recorder, &app, "plain", &[]).1;
    record_introspection(&mut recorder, &app, &manager, &plain);
    record_revocation(&mut recorder, &app, &manager);
    record_graphql(&mut recorder, &app, &manager, &plain);
    // The template of the test stores has an event of the real clock.
    env.store.execute(&format!(
        "UPDATE audit_events SET at = {} WHERE action = 'admin.added'",
        time(START).micros()
    ));
    record_events(&mut recorder, &app);
    record_legacy_usage(&mut recorder, &app);
    record_public(env, &mut recorder, &app);
    drop(app);
    let introspect = Request::new("POST", "/introspect", Auth::Key(&manager)).body(FORM, "token=x");
    let version = json!({ "query": "{ generalSettings { pantherVersion } }" });
    let operations = [
        operation("introspect", introspect.clone()),
        operation("revoke", introspect.path("/revoke")),
        operation(
            "executeGraphql",
            Request::new("POST", "/public/graphql", Auth::Key(&manager)).json(&version),
        ),
        operation("listAuditEvents", Request::new("GET", "/audit-events", Auth::Admin)),
        operation("legacyUsage", Request::new("GET", "/legacy-usage", Auth::Admin)),
    ];
    record_common_errors(env, &mut recorder, &operations);
    recorder
}

fn record_introspection(recorder: &mut Recorder, app: &TestApp, manager: &str, plain: &str) {
    let id = "introspect";
    let introspect = Request::new("POST", "/introspect", Auth::Admin);
    let of_manager = introspect.body(FORM, &format!("token={manager}"));
    recorder.record(app, id, 200, "a valid value", &of_manager);
    recorder.record(
        app,
        id,
        200,
        "an unknown value",
        &introspect.body(FORM, "token=unknown"),
    );
    recorder.record(app, id, 400, "no value", &introspect.body(FORM, "x=1"));
    recorder.record(
        app,
        id,
        400,
        "no address",
        &introspect.body(FORM, "token=x&client_ip=x"),
    );
    recorder.record(
        app,
        id,
        403,
        "the permission is missing",
        &of_manager.auth(Auth::Key(plain)),
    );
}

fn record_revocation(recorder: &mut Recorder, app: &TestApp, manager: &str) {
    let id = "revoke";
    let leaked = new_token(recorder, app, "leaked", &[]).1;
    let revoke = Request::new("POST", "/revoke", Auth::Anonymous);
    let of_leaked = revoke.body(FORM, &format!("token={leaked}"));
    recorder.record(app, id, 200, "a value", &of_leaked);
    recorder.record(
        app,
        id,
        200,
        "the same value again",
        &of_leaked.auth(Auth::Key(manager)),
    );
    recorder.record(app, id, 400, "no value", &revoke.body(FORM, "x=1"));
    let uuid = "token=7ba167aa-631c-4771-b197-fcb459cc7fd7";
    recorder.record(app, id, 200, "a uuid", &revoke.body(FORM, uuid));
}

fn record_graphql(recorder: &mut Recorder, app: &TestApp, manager: &str, plain: &str) {
    let id = "executeGraphql";
    let post = Request::new("POST", "/public/graphql", Auth::Key(manager));
    let query = |query: &str| post.json(&json!({ "query": query }));
    recorder.record(
        app,
        id,
        200,
        "the version",
        &query("{ generalSettings { pantherVersion } }"),
    );
    recorder.record(app, id, 200, "an unknown field", &query("{ unknown }"));
    recorder.record(app, id, 200, "a syntax error", &query("{"));
    let rotate = "mutation { rotateAPIToken { token { id name value permissions allowedCIDRBlocks createdAt expiresAt lastUsedAt \
        rotatedAt updatedAt } } }";
    recorder.record(app, id, 200, "a rotation", &query(rotate).auth(Auth::Key(plain)));
    recorder.record(app, id, 400, "no query", &post.json(&json!({})));
    recorder.record(app, id, 400, "too deep", &query(&"{a".repeat(100)));
}

fn record_events(recorder: &mut Recorder, app: &TestApp) {
    let id = "listAuditEvents";
    let list = Request::new("GET", "/audit-events", Auth::Admin);
    recorder.record(app, id, 200, "a page", &list.path("/audit-events?limit=2"));
    recorder.record(app, id, 200, "all", &list);
    for media_type in ["text/csv", "application/x-ndjson", "application/jsonl"] {
        recorder.record(app, id, 200, media_type, &list.header("accept", media_type));
    }
    for query in ["since=x", "action=x", "channel=x", "limit=0", "cursor=x", "unknown=1"] {
        recorder.record(app, id, 400, query, &list.path(&format!("/audit-events?{query}")));
    }
    recorder.record(app, id, 406, "another media type", &list.header("accept", "image/png"));
}

fn record_legacy_usage(recorder: &mut Recorder, app: &TestApp) {
    let id = "legacyUsage";
    let report = Request::new("GET", "/legacy-usage", Auth::Admin);
    app.get(LEGACY, Auth::Admin).expect(200);
    recorder.record(app, id, 200, "JSON", &report);
    recorder.record(app, id, 200, "CSV", &report.header("accept", "text/csv"));
    recorder.record(app, id, 400, "no days", &report.path("/legacy-usage?days=0"));
    recorder.record(
        app,
        id,
        406,
        "another media type",
        &report.header("accept", "image/png"),
    );
}

/// Records the operations that need no credentials.
fn record_public(env: &TestEnv, recorder: &mut Recorder, app: &TestApp) {
    for (id, path) in [
        ("healthz", "/healthz"),
        ("readyz", "/readyz"),
        ("oauthMetadata", METADATA),
        ("metrics", "/metrics"),
        ("playground", "/public/graphql"),
    ] {
        let get = Request::new("GET", path, Auth::Anonymous);
        let shown = match id {
            "metrics" | "playground" => get.without_response_body(),
            _ => get.clone(),
        };
        recorder.record(app, id, 200, "a request", &shown);
        let patch = Request::new("PATCH", path, Auth::Anonymous);
        recorder.record(app, id, 405, "another method", &patch);
        let large = get.header("x-long", &"x".repeat(16_384));
        recorder.record(app, id, 431, "the headers are too large", &large);
    }
    let behind_proxy = env.app_with(&["--trusted-proxy", "127.0.0.1"]);
    let forwarded = Request::new("GET", METADATA, Auth::Anonymous).header("x-forwarded-host", "a/b");
    recorder.record(&behind_proxy, "oauthMetadata", 400, "the host is malformed", &forwarded);
    let apart = env.app_with(&["--metrics-listen", "127.0.0.1:0"]);
    let metrics = Request::new("GET", "/metrics", Auth::Anonymous);
    recorder.record(
        &apart,
        "metrics",
        404,
        "the metrics have a listener of their own",
        &metrics,
    );
}

pub fn record_unknown(env: &TestEnv) -> Recorder {
    let mut recorder = Recorder::default();
    let app = env.app();
    let id = "unknownPathsAndMethods";
    let unknown = Request::new("GET", "/unknown", Auth::Anonymous);
    for path in [
        "/unknown",
        "/api-tokens/x/y",
        "/rest/agent/1.0/unknown",
        "/public/graphql/x/y",
        "/docs/unknown",
    ] {
        recorder.record(&app, id, 404, path, &unknown.path(path));
    }
    let methods = |path: &str| Request::new("PATCH", path, Auth::Admin).json(&Value::Null);
    let one = "/7ba167aa-631c-4771-b197-fcb459cc7fd7";
    for path in [
        "/",
        TOKENS,
        &format!("{TOKENS}{one}"),
        &format!("{TOKENS}{one}/rotate"),
        LEGACY,
        &format!("{LEGACY}{one}"),
        "/audit-events",
        "/introspect",
        "/revoke",
        "/legacy-usage",
        "/openapi.json",
        "/docs",
    ] {
        recorder.record(&app, id, 405, path, &methods(path));
    }
    let root = Request::new("GET", "/", Auth::Anonymous);
    recorder.record(&app, id, 303, "the root", &root);
    recorder
}
