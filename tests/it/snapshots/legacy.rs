//! The legacy API: its bytes are frozen, under each prefix.

use serde_json::json;

use super::{operation, record_common_errors};
use crate::support::{
    TestEnv,
    client::{Auth, LEGACY_PREFIXES},
    recorder::{Recorder, Request},
};

/// Records the first prefix, after comparing all others with it.
pub fn record(env: &TestEnv) -> Recorder {
    let [first, others @ ..] = LEGACY_PREFIXES;
    let recorder = record_prefix(env, first);
    for other in others {
        let env = TestEnv::new(env.kind);
        for (operation, record) in record_prefix(&env, other).into_records() {
            assert_eq!(
                Some(&record.replace(other, first)),
                recorder.records().get(&operation),
                "{other}"
            );
        }
    }
    recorder
}

fn record_prefix(env: &TestEnv, prefix: &str) -> Recorder {
    let mut recorder = Recorder::default();
    let app = env.app();
    let list = Request::new("GET", prefix, Auth::Admin);
    let create = Request::new("POST", prefix, Auth::Admin);
    let r = &mut recorder;
    r.record(&app, "listLegacyTokens", 200, "no tokens", &list);
    let whole = json!({ "name": "read and \"write\" ü", "read": true, "change": true });
    r.record(&app, "createLegacyToken", 200, "all fields", &create.json(&whole));
    r.record(
        &app,
        "createLegacyToken",
        200,
        "only a name",
        &create.json(&json!({ "name": "n" })),
    );
    r.record(&app, "listLegacyTokens", 200, "two tokens", &list);
    r.record(
        &app,
        "listLegacyTokens",
        200,
        "a trailing slash",
        &list.path(&format!("{prefix}/")),
    );
    for (when, body) in [
        ("no name", "{}"),
        ("an empty name", r#"{"name":""}"#),
        ("a field of another type", r#"{"name":"n","read":"yes"}"#),
        ("no JSON", "{"),
        ("no body", ""),
    ] {
        r.record(
            &app,
            "createLegacyToken",
            400,
            when,
            &create.body("application/json", body),
        );
    }
    let uuid = app.new_legacy_token(&json!({ "name": "subject" }));
    r.name(&uuid, "uuid of subject");
    let path = format!("{prefix}/{uuid}");
    let unknown = format!("{prefix}/7ba167aa-631c-4771-b197-fcb459cc7fd7");
    let (get, put, delete) = (
        Request::new("GET", &path, Auth::Admin),
        Request::new("PUT", &path, Auth::Admin),
        Request::new("DELETE", &path, Auth::Admin),
    );
    let changes = put.json(&json!({ "uuid": uuid, "name": "renamed", "read": true }));
    r.record(&app, "getLegacyToken", 200, "a token", &get);
    r.record(&app, "updateLegacyToken", 200, "two fields", &changes);
    r.record(&app, "updateLegacyToken", 200, "no fields", &put.json(&json!({})));
    let other = json!({ "uuid": "7ba167aa-631c-4771-b197-fcb459cc7fd7" });
    r.record(&app, "updateLegacyToken", 400, "another uuid", &put.json(&other));
    r.record(&app, "getLegacyToken", 404, "no such token", &get.path(&unknown));
    r.record(
        &app,
        "updateLegacyToken",
        404,
        "no such token",
        &put.json(&json!({})).path(&unknown),
    );
    r.record(&app, "deleteLegacyToken", 404, "no such token", &delete.path(&unknown));
    r.record(&app, "deleteLegacyToken", 204, "a token", &delete);
    let key = app.new_token(&json!({ "name": "key" })).1;
    r.name(&key, "value of key");
    r.record(&app, "listLegacyTokens", 401, "an API key", &list.auth(Auth::Key(&key)));
    drop(app);
    record_phases(env, r, &list, &create.json(&whole));
    let operations = [
        operation("listLegacyTokens", list),
        operation("createLegacyToken", create.json(&whole)),
        operation("getLegacyToken", get),
        operation("updateLegacyToken", changes),
        operation("deleteLegacyToken", delete),
    ];
    record_common_errors(env, r, &operations);
    recorder
}

/// Records the responses under the settings that close the API.
fn record_phases(env: &TestEnv, recorder: &mut Recorder, list: &Request<'_>, create: &Request<'_>) {
    let app = env.app_with(&["--legacy", "read-only", "--legacy-sunset", "2031-01-01"]);
    recorder.record(&app, "listLegacyTokens", 200, "the API is read-only", list);
    for (operation, method) in [
        ("createLegacyToken", "POST"),
        ("updateLegacyToken", "PUT"),
        ("deleteLegacyToken", "DELETE"),
    ] {
        let request = create.method(method);
        recorder.record(&app, operation, 403, "the API is read-only", &request);
    }
    drop(app);
    let app = env.app_with(&["--legacy-brownout", "2030-01-01T00:00Z/PT15M"]);
    recorder.record(&app, "listLegacyTokens", 503, "a brownout", list);
}
