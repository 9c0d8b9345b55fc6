//! `/api-tokens`.

use serde_json::{Value, json};

use super::{Operation, new_token, operation, record_common_errors};
use crate::support::{
    MODIFY, READ, TestApp, TestEnv,
    client::{Auth, TOKENS},
    recorder::{Recorder, Request},
};

/// An entity tag that no token has.
const STALE: &str = "\"stale\"";
const LOOKUP: &str = "/api-tokens/lookup";
const UNKNOWN_VALUE: &str = "tbk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADCtZhg";
const UNKNOWN: &str = "/api-tokens/7ba167aa-631c-4771-b197-fcb459cc7fd7";

/// The tokens that the snapshots are recorded with: each an ID and a value.
struct Fixture {
    manager: (String, String),
    reader: (String, String),
    plain: (String, String),
    subject: (String, String),
}

impl Fixture {
    fn new(recorder: &mut Recorder, app: &TestApp) -> Self {
        Self {
            manager: new_token(recorder, app, "manager", &[READ, MODIFY]),
            reader: new_token(recorder, app, "reader", &[READ]),
            plain: new_token(recorder, app, "plain", &[]),
            subject: new_token(recorder, app, "subject", &["AlertRead"]),
        }
    }

    fn subject_path(&self) -> String {
        format!("{TOKENS}/{}", self.subject.0)
    }
}

pub fn record(env: &TestEnv) -> Recorder {
    let mut recorder = Recorder::default();
    let app = env.app();
    let fixture = Fixture::new(&mut recorder, &app);
    record_lists(&mut recorder, &app, &fixture);
    record_creates(env, &mut recorder, &app, &fixture);
    record_gets(&mut recorder, &app, &fixture);
    record_updates(env, &mut recorder, &app, &fixture);
    record_rotations(env, &mut recorder, &app, &fixture);
    record_self(&mut recorder, &app, &fixture);
    record_lookups(&mut recorder, &app, &fixture);
    record_usage(&mut recorder, &app, &fixture);
    record_deletions(&mut recorder, &app, &fixture);
    drop(app);
    let key = Auth::Key(&fixture.manager.1);
    let path = fixture.subject_path();
    let rename = json!({ "name": "renamed" });
    let grace = json!({ "gracePeriodSeconds": 60 });
    let value = json!({ "value": fixture.subject.1 });
    let operations: Vec<Operation<'_>> = vec![
        operation("listApiTokens", Request::new("GET", TOKENS, key)),
        operation("createApiToken", Request::new("POST", TOKENS, key).json(&rename)),
        operation("getApiToken", Request::new("GET", &path, key)),
        operation("updateApiToken", Request::new("POST", &path, key).json(&rename)),
        operation(
            "rotateApiToken",
            Request::new("POST", &format!("{path}/rotate"), key).json(&grace),
        ),
        operation("deleteApiToken", Request::new("DELETE", &path, key)),
        operation("lookupApiToken", Request::new("POST", LOOKUP, key).json(&value)),
        operation("getApiTokenUsage", Request::new("GET", &format!("{path}/usage"), key)),
        operation(
            "getApiTokenUsageSelf",
            Request::new("GET", "/api-tokens/self/usage", key),
        ),
        operation("getApiTokenSelf", Request::new("GET", "/api-tokens/self", key)),
        operation(
            "updateApiTokenSelf",
            Request::new("POST", "/api-tokens/self", key).json(&rename),
        ),
        operation(
            "rotateApiTokenSelf",
            Request::new("POST", "/api-tokens/self/rotate", key).json(&grace),
        ),
        operation("deleteApiTokenSelf", Request::new("DELETE", "/api-tokens/self", key)),
    ];
    record_common_errors(env, &mut recorder, &operations);
    recorder
}

fn record_lists(recorder: &mut Recorder, app: &TestApp, fixture: &Fixture) {
    let list = Request::new("GET", TOKENS, Auth::Admin);
    let by_token = list.auth(Auth::Key(&fixture.reader.1));
    let id = "listApiTokens";
    recorder.record(app, id, 200, "all tokens, for an admin", &list);
    recorder.record(
        app,
        id,
        200,
        "a page, for a token",
        &by_token.path("/api-tokens?limit=1"),
    );
    recorder.record(app, id, 200, "no token matches", &list.path("/api-tokens?name=nothing"));
    let csv = list.path("/api-tokens?name=reader").header("accept", "text/csv");
    recorder.record(app, id, 200, "as CSV", &csv);
    recorder.record(app, id, 406, "another format", &list.header("accept", "text/html"));
    for query in [
        "limit=0",
        "cursor=x",
        "state=x",
        "unusedSince=x",
        "unknown=1",
        "limit=1&limit=2",
    ] {
        recorder.record(app, id, 400, query, &list.path(&format!("{TOKENS}?{query}")));
    }
    let plain = list.auth(Auth::Key(&fixture.plain.1));
    recorder.record(app, id, 403, "the permission is missing", &plain);
}

fn record_creates(env: &TestEnv, recorder: &mut Recorder, app: &TestApp, fixture: &Fixture) {
    let create = Request::new("POST", TOKENS, Auth::Admin);
    let by_token = create.auth(Auth::Key(&fixture.manager.1));
    let id = "createApiToken";
    let all = json!({
        "name": "all fields", "permissions": ["AlertRead", READ], "allowedCIDRBlocks": ["10.0.0.1/8", "2001:db8::/32"],
        "expiresAt": env.clock.seconds_from_now(3600), "description": "a\nb", "owner": "team", "disabled": true,
    });
    recorder.record(app, id, 200, "all fields, by an admin", &create.json(&all));
    recorder.record(
        app,
        id,
        200,
        "only a name, by a token",
        &by_token.json(&json!({ "name": "one field" })),
    );
    let keyed = create
        .json(&json!({ "name": "keyed" }))
        .header("idempotency-key", "8e03978e");
    recorder.record(app, id, 200, "with a key", &keyed);
    recorder.record(app, id, 200, "with the same key", &keyed);
    let other = keyed.json(&json!({ "name": "another" }));
    recorder.record(app, id, 422, "with the same key, and another payload", &other);
    recorder.record(
        app,
        id,
        400,
        "with a malformed key",
        &keyed.header("idempotency-key", "a b"),
    );
    record_key_conflict(recorder, app, id, &keyed);
    for (when, body) in [
        ("no name", json!({})),
        ("an unknown field", json!({ "name": "n", "nmae": "n" })),
        (
            "an unknown permission",
            json!({ "name": "n", "permissions": ["AlertRaed"] }),
        ),
        (
            "a block without a prefix length",
            json!({ "name": "n", "allowedCIDRBlocks": ["8.8.8.8"] }),
        ),
        (
            "an expiry in the past",
            json!({ "name": "n", "expiresAt": "2020-01-01T00:00:00Z" }),
        ),
        ("null", json!({ "name": null })),
        ("no object", json!([])),
    ] {
        recorder.record(app, id, 400, when, &create.json(&body));
    }
    recorder.record(app, id, 400, "no JSON", &create.body("application/json", "{"));
    recorder.record(app, id, 400, "no body", &create.body("application/json", ""));
    let reader = create.auth(Auth::Key(&fixture.reader.1));
    let escalation = json!({ "name": "n", "permissions": ["UserModify"] });
    recorder.record(
        app,
        id,
        403,
        "the permission is missing",
        &reader.json(&json!({ "name": "n" })),
    );
    recorder.record(
        app,
        id,
        403,
        "a permission that the caller does not hold",
        &by_token.json(&escalation),
    );
}

fn record_gets(recorder: &mut Recorder, app: &TestApp, fixture: &Fixture) {
    let get = Request::new("GET", &fixture.subject_path(), Auth::Admin);
    let cases = [
        (200, "a token", get.clone()),
        (403, "the permission is missing", get.auth(Auth::Key(&fixture.plain.1))),
        (400, "self, for an admin", get.path("/api-tokens/self")),
        (404, "no such token", get.path(UNKNOWN)),
        (404, "no UUID", get.path("/api-tokens/nonsense")),
        (304, "a known token", get.header("if-none-match", "*")),
    ];
    recorder.record_all(app, "getApiToken", &cases);
}

fn record_updates(env: &TestEnv, recorder: &mut Recorder, app: &TestApp, fixture: &Fixture) {
    let update = Request::new("POST", &fixture.subject_path(), Auth::Admin);
    let by_reader = update.auth(Auth::Key(&fixture.reader.1));
    let changes = json!({
        "name": "subject, renamed", "permissions": ["AlertModify"], "allowedCIDRBlocks": ["127.0.0.0/8"],
        "expiresAt": env.clock.seconds_from_now(3600), "description": "a\nb", "owner": "team", "disabled": true,
    });
    let rename = json!({ "name": "n" });
    let cases = [
        (200, "all fields", update.json(&changes)),
        (200, "no expiry", update.json(&json!({ "expiresAt": null }))),
        (400, "no change", update.json(&json!({}))),
        (400, "an empty name", update.json(&json!({ "name": "" }))),
        (400, "self, for an admin", update.path("/api-tokens/self").json(&rename)),
        (403, "the permission is missing", by_reader.json(&rename)),
        (404, "no such token", update.path(UNKNOWN).json(&rename)),
        (412, "another state", update.json(&rename).header("if-match", STALE)),
    ];
    recorder.record_all(app, "updateApiToken", &cases);
}

fn record_rotations(env: &TestEnv, recorder: &mut Recorder, app: &TestApp, fixture: &Fixture) {
    let path = fixture.subject_path();
    let rotate = Request::new("POST", &format!("{path}/rotate"), Auth::Admin);
    let grace = |seconds: Value| rotate.json(&json!({ "gracePeriodSeconds": seconds }));
    let options = json!({ "gracePeriodSeconds": 60, "expiresAt": env.clock.seconds_from_now(7200) });
    let cases = [
        (200, "no body", rotate.clone()),
        (200, "all fields", rotate.json(&options)),
        (400, "a negative grace period", grace(json!(-1))),
        (400, "a long grace period", grace(json!(604_801))),
        (400, "a grace period as text", grace(json!("60"))),
        (400, "self, for an admin", rotate.path("/api-tokens/self/rotate")),
        (
            403,
            "the permission is missing",
            rotate.auth(Auth::Key(&fixture.reader.1)),
        ),
        (404, "no such token", rotate.path(&format!("{UNKNOWN}/rotate"))),
        (412, "another state", rotate.header("if-match", STALE)),
    ];
    recorder.record_all(app, "rotateApiToken", &cases);
    record_keyed_rotations(recorder, app, "rotateApiToken", &grace(json!(60)));
    let get = Request::new("GET", &path, Auth::Admin);
    recorder.record(app, "getApiToken", 200, "a changed token", &get);
    record_grace_value_limit(recorder, app, "rotateApiToken", &grace(json!(60)));
}

/// Records a rotation that is repeated with its key, and one whose key belongs to another payload.
fn record_keyed_rotations(recorder: &mut Recorder, app: &TestApp, id: &str, rotate: &Request<'_>) {
    let keyed = rotate.header("idempotency-key", "\"8e03978e\"");
    let other = keyed.json(&json!({ "gracePeriodSeconds": 61 }));
    let cases = [
        (200, "with a key", keyed.clone()),
        (200, "with the same key", keyed),
        (422, "with the same key, and another payload", other),
    ];
    recorder.record_all(app, id, &cases);
}

/// Records a repetition after the value in the first response was used.
fn record_key_conflict(recorder: &mut Recorder, app: &TestApp, id: &str, request: &Request<'_>) {
    let request = request.header("idempotency-key", "used");
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let headers = [("content-type", "application/json"), ("idempotency-key", "used")];
    let made = app.send("POST", &request.path, request.auth, &headers, &body.to_string());
    let value = made.expect(200).json()["value"].as_str().unwrap().to_owned();
    app.get("/api-tokens/self", Auth::Key(&value)).expect(200);
    recorder.record(app, id, 409, "the value of the first response was used", &request);
}

/// Rotates a token until no further earlier value may stay valid.
fn record_grace_value_limit(recorder: &mut Recorder, app: &TestApp, id: &str, rotate: &Request<'_>) {
    let body: Value = serde_json::from_str(&rotate.body).unwrap();
    let mut accepted = (0..20).take_while(|_| app.post(&rotate.path, rotate.auth, &body).status == 200);
    assert!(
        accepted.by_ref().count() < 20,
        "the number of values in their grace period is limited"
    );
    recorder.record(app, id, 409, "too many values in their grace period", rotate);
}

fn record_self(recorder: &mut Recorder, app: &TestApp, fixture: &Fixture) {
    let get = Request::new("GET", "/api-tokens/self", Auth::Key(&fixture.plain.1));
    recorder.record(app, "getApiTokenSelf", 200, "a token without permissions", &get);
    let known = get.header("if-none-match", "*");
    recorder.record(app, "getApiTokenSelf", 304, "a known token", &known);
    let (_, value) = new_token(recorder, app, "self", &[READ, MODIFY]);
    let post = Request::new("POST", "/api-tokens/self", Auth::Key(&value));
    let rename = post.json(&json!({ "name": "self, renamed" }));
    recorder.record(app, "updateApiTokenSelf", 200, "a token with permissions", &rename);
    let stale = rename.header("if-match", STALE);
    recorder.record(app, "updateApiTokenSelf", 412, "another state", &stale);
    recorder.record(app, "updateApiTokenSelf", 400, "no change", &post.json(&json!({})));
    let plain = rename.auth(Auth::Key(&fixture.plain.1));
    recorder.record(app, "updateApiTokenSelf", 403, "the permission is missing", &plain);
    let rotate = post.path("/api-tokens/self/rotate");
    let negative = rotate.json(&json!({ "gracePeriodSeconds": -1 }));
    recorder.record(app, "rotateApiTokenSelf", 400, "a negative grace period", &negative);
    let stale = rotate.header("if-match", STALE);
    recorder.record(app, "rotateApiTokenSelf", 412, "another state", &stale);
    recorder.record(app, "rotateApiTokenSelf", 200, "a token", &rotate);
    let (_, value) = new_token(recorder, app, "rotated with a key", &[]);
    let keyed = rotate
        .json(&json!({ "gracePeriodSeconds": 60 }))
        .auth(Auth::Key(&value));
    record_keyed_rotations(recorder, app, "rotateApiTokenSelf", &keyed);
    let (_, value) = new_token(recorder, app, "rotated often", &[]);
    let often = rotate
        .json(&json!({ "gracePeriodSeconds": 60 }))
        .auth(Auth::Key(&value));
    record_grace_value_limit(recorder, app, "rotateApiTokenSelf", &often);
}

fn record_lookups(recorder: &mut Recorder, app: &TestApp, fixture: &Fixture) {
    let lookup = |value: &str| Request::new("POST", LOOKUP, Auth::Admin).json(&json!({ "value": value }));
    let (_, value) = new_token(recorder, app, "looked up", &[]);
    let known = lookup(&value);
    let cases = [
        (200, "a token's value", known.clone()),
        (400, "no value", known.json(&json!({}))),
        (400, "a malformed value", lookup("tbk_")),
        (
            403,
            "the permission is missing",
            known.auth(Auth::Key(&fixture.plain.1)),
        ),
        (404, "no token has this value", lookup(UNKNOWN_VALUE)),
    ];
    recorder.record_all(app, "lookupApiToken", &cases);
}

fn record_usage(recorder: &mut Recorder, app: &TestApp, fixture: &Fixture) {
    let (id, value) = new_token(recorder, app, "used", &[READ]);
    app.get("/api-tokens/self", Auth::Key(&value)).expect(200);
    let of_self = Request::new("GET", "/api-tokens/self/usage", Auth::Key(&value));
    recorder.record(app, "getApiTokenUsageSelf", 200, "a token", &of_self);
    let limited = json!({ "allowedCIDRBlocks": ["192.0.2.0/24"] });
    app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &limited).expect(200);
    app.get("/api-tokens/self", Auth::Key(&value)).expect(401);
    let get = Request::new("GET", &format!("{TOKENS}/{id}/usage"), Auth::Admin);
    let cases = [
        (200, "a token that was used and refused", get.clone()),
        (403, "the permission is missing", get.auth(Auth::Key(&fixture.plain.1))),
        (400, "self, for an admin", get.path("/api-tokens/self/usage")),
        (404, "no such token", get.path(&format!("{UNKNOWN}/usage"))),
    ];
    recorder.record_all(app, "getApiTokenUsage", &cases);
}

fn record_deletions(recorder: &mut Recorder, app: &TestApp, fixture: &Fixture) {
    let (id, value) = new_token(recorder, app, "deleted", &[READ, MODIFY]);
    let delete = Request::new("DELETE", &format!("{TOKENS}/{id}"), Auth::Admin);
    let reader = delete.auth(Auth::Key(&fixture.reader.1));
    recorder.record(app, "deleteApiToken", 403, "the permission is missing", &reader);
    let stale = delete.header("if-match", STALE);
    recorder.record(app, "deleteApiToken", 412, "another state", &stale);
    recorder.record(app, "deleteApiToken", 204, "a token", &delete);
    recorder.record(app, "deleteApiToken", 404, "a deleted token", &delete);
    recorder.record(
        app,
        "deleteApiToken",
        400,
        "self, for an admin",
        &delete.path("/api-tokens/self"),
    );
    let own = Request::new("DELETE", "/api-tokens/self", Auth::Key(&value));
    recorder.record(app, "deleteApiTokenSelf", 401, "a deleted token", &own);
    let (_, value) = new_token(recorder, app, "deletes itself", &[READ, MODIFY]);
    let own = own.auth(Auth::Key(&value));
    recorder.record(
        app,
        "deleteApiTokenSelf",
        412,
        "another state",
        &own.header("if-match", STALE),
    );
    recorder.record(app, "deleteApiTokenSelf", 204, "a token", &own);
    let reader = own.auth(Auth::Key(&fixture.reader.1));
    recorder.record(app, "deleteApiTokenSelf", 403, "the permission is missing", &reader);
}

pub fn record_bulk_deletion(env: &TestEnv) -> Recorder {
    let mut recorder = Recorder::default();
    let app = env.app();
    let fixture = Fixture::new(&mut recorder, &app);
    let id = "deleteApiTokens";
    let delete = Request::new("DELETE", "/api-tokens?name=subject&expected=1", Auth::Admin);
    let reader = delete.auth(Auth::Key(&fixture.reader.1));
    recorder.record(&app, id, 403, "the permission is missing", &reader);
    recorder.record(&app, id, 400, "no filter", &delete.path("/api-tokens?expected=4"));
    recorder.record(&app, id, 400, "no expected number", &delete.path("/api-tokens?name=a"));
    recorder.record(
        &app,
        id,
        400,
        "no number",
        &delete.path("/api-tokens?name=a&expected=x"),
    );
    recorder.record(
        &app,
        id,
        409,
        "another number of tokens",
        &delete.path("/api-tokens?name=a&expected=9"),
    );
    recorder.record(&app, id, 200, "one token", &delete);
    drop(app);
    let key = Auth::Key(&fixture.manager.1);
    record_common_errors(env, &mut recorder, &[operation(id, delete.auth(key))]);
    recorder
}
