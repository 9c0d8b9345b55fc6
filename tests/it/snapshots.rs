//! Snapshots of whole responses: every operation of the OpenAPI document, with each status that it can give.
//!
//! Both stores have the same snapshots. A change that is intended is accepted with
//! `INSTA_UPDATE=always cargo test --test it snapshots`, and reviewed as a difference of the `.snap` files.

mod api_tokens;
mod legacy;
mod other;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde_json::{Value, json};

use crate::{
    support::{
        TestEnv,
        client::{Auth, Client, TOKENS},
        recorder::{Recorder, Request},
    },
    tests,
};

tests![
    api_token_responses,
    bulk_deletion_responses,
    legacy_responses,
    verify_responses,
    other_responses,
    unknown_path_and_method_responses
];
tests![SQLITE_TESTS: every_documented_status_has_a_snapshot];

/// Documented statuses that no test can produce: the status, the operations (by the start of their IDs) and the reason.
const WITHOUT_SNAPSHOT: &[(u16, &str, &str)] = &[
    (403, "getApiTokenSelf", "needs no permission"),
    (403, "getApiTokenUsageSelf", "needs no permission"),
    (403, "rotateApiTokenSelf", "needs no permission"),
    (500, "metrics", "only a defect of the registry causes it"),
    (
        503,
        "readyz",
        "the store has to be removed; the tests of faults and backups do so",
    ),
];

/// Wrong passwords that lock a name out.
const GUESSES: usize = 10;
const FLOODED: &str = "flooded";

/// An operation of the document, and a request for it that succeeds.
struct Operation<'a> {
    id: String,
    request: Request<'a>,
}

fn operation<'a>(id: &str, request: Request<'a>) -> Operation<'a> {
    Operation {
        id: id.to_owned(),
        request,
    }
}

fn api_token_responses(env: &TestEnv) {
    assert_snapshots(api_tokens::record(env));
}

fn bulk_deletion_responses(env: &TestEnv) {
    assert_snapshots(api_tokens::record_bulk_deletion(env));
}

fn legacy_responses(env: &TestEnv) {
    assert_snapshots(legacy::record(env));
}

fn verify_responses(env: &TestEnv) {
    assert_snapshots(other::record_verify(env));
}

fn other_responses(env: &TestEnv) {
    assert_snapshots(other::record(env));
}

fn unknown_path_and_method_responses(env: &TestEnv) {
    assert_snapshots(other::record_unknown(env));
}

/// Compares the records with the snapshots.
fn assert_snapshots(recorder: Recorder) {
    let mut settings = insta::Settings::new();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (operation, record) in recorder.into_records() {
            insta::assert_snapshot!(operation, record);
        }
    });
}

/// The committed document.
fn document() -> Value {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// Returns the statuses of each operation that the document promises.
fn documented_statuses() -> BTreeMap<String, BTreeSet<u16>> {
    let document = document();
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    let statuses = operations.map(|operation| {
        let responses = operation["responses"].as_object().unwrap();
        let statuses = responses.keys().map(|status| status.parse().unwrap());
        (
            operation["operationId"].as_str().unwrap().to_owned(),
            statuses.collect(),
        )
    });
    statuses.collect()
}

/// Records the errors that operations have in common, as far as they promise them. The store is broken afterwards.
fn record_common_errors(env: &TestEnv, recorder: &mut Recorder, operations: &[Operation<'_>]) {
    let documented = documented_statuses();
    let promising = |status: u16| {
        let documented = &documented;
        let promising = operations
            .iter()
            .filter(move |operation| documented[&operation.id].contains(&status));
        promising.collect::<Vec<_>>()
    };
    let app = env.app();
    for Operation { id, request } in promising(401) {
        let wrong = match request.auth {
            Auth::Admin => Auth::Basic("unknown", "wrong"),
            _ => Auth::Key("unknown"),
        };
        // Revoking a presented value needs no credentials.
        if *id != "revoke" {
            recorder.record(&app, id, 401, "no credentials", &request.auth(Auth::Anonymous));
        }
        recorder.record(&app, id, 401, "wrong credentials", &request.auth(wrong));
    }
    for Operation { id, request } in promising(413) {
        let stream = request.send(&app, Some(65_537));
        recorder.finish(id, 413, "the body has 65537 bytes", request, stream);
    }
    for Operation { id, request } in promising(415) {
        let request = request.body("text/plain", &request.body);
        recorder.record(&app, id, 415, "the body is of another type", &request);
    }
    for guess in 0..GUESSES {
        app.get(TOKENS, Auth::Basic(FLOODED, &guess.to_string())).expect(401);
    }
    for Operation { id, request } in promising(429) {
        let request = request.auth(Auth::Basic(FLOODED, "a further guess"));
        recorder.record(&app, id, 429, "too many wrong passwords", &request);
        // Only a method that changes something is refused across sites, and only with credentials that a browser sends
        // by itself.
        if request.method != "GET" {
            let request = request.auth(Auth::Admin).header("sec-fetch-site", "cross-site");
            recorder.record(&app, id, 403, "another site's page sent the request", &request);
        }
    }
    for Operation { id, request } in promising(431) {
        let request = request.header("x-long", &"x".repeat(16_384));
        recorder.record(&app, id, 431, "the headers are too large", &request);
    }
    drop(app);
    record_timeouts(env, recorder, &promising(408));
    let off = env.app_with(&["--legacy", "off"]);
    for Operation { id, request } in promising(410) {
        recorder.record(&off, id, 410, "the legacy API is switched off", request);
    }
    drop(off);
    record_internal_errors(env, recorder, &promising(500));
    record_unavailability(env, recorder, &promising(503));
}

/// Records the responses to requests whose bodies do not arrive, all at the same time.
fn record_timeouts(env: &TestEnv, recorder: &mut Recorder, operations: &[&Operation<'_>]) {
    let app = env.app_with(&["--request-timeout-seconds", "1"]);
    let sent: Vec<_> = operations
        .iter()
        .map(|operation| operation.request.send(&app, Some(operation.request.body.len() + 1)))
        .collect();
    for (Operation { id, request }, stream) in operations.iter().zip(sent) {
        recorder.finish(id, 408, "the body does not arrive in time", request, stream);
    }
}

/// Records the responses while the rows of the store are not what this version wrote.
fn record_internal_errors(env: &TestEnv, recorder: &mut Recorder, operations: &[&Operation<'_>]) {
    let app = env.app();
    env.store
        .execute("UPDATE tokens SET permissions = 'Nonsense'; UPDATE admins SET password_hash = 'nonsense'");
    for Operation { id, request } in operations {
        recorder.record(&app, id, 500, "the store contains invalid data", request);
    }
}

/// Records the responses while no query of the store succeeds.
fn record_unavailability(env: &TestEnv, recorder: &mut Recorder, operations: &[&Operation<'_>]) {
    let app = env.app();
    env.store
        .execute("ALTER TABLE tokens RENAME TO a; ALTER TABLE admins RENAME TO b");
    for Operation { id, request } in operations {
        recorder.record(&app, id, 503, "the store fails", request);
    }
}

/// Creates a token, and names its ID and its value in the snapshots.
fn new_token(recorder: &mut Recorder, client: &Client, name: &str, permissions: &[&str]) -> (String, String) {
    let (id, value) = client.new_token(&json!({ "name": name, "permissions": permissions }));
    recorder.name(&id, &format!("id of {name}"));
    recorder.name(&value, &format!("value of {name}"));
    (id, value)
}

fn every_documented_status_has_a_snapshot(_: &TestEnv) {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots");
    let mut missing = Vec::new();
    let mut used = BTreeSet::new();
    let mut snapshots = BTreeSet::from(["unknownPathsAndMethods".to_owned()]);
    for (operation, statuses) in documented_statuses() {
        // All prefixes of the legacy API have the snapshots of the first: their test compares them.
        let name = if operation.contains("Legacy") {
            operation.trim_end_matches(['2', '3', '4'])
        } else {
            &operation
        };
        let file = directory.join(format!("{name}.snap"));
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        for status in statuses {
            let exception = WITHOUT_SNAPSHOT
                .iter()
                .position(|(excepted, prefix, _)| *excepted == status && operation.starts_with(prefix));
            match (exception, text.contains(&format!("\n## {status}: "))) {
                (None, false) => missing.push(format!("{operation} {status}")),
                (Some(exception), false) => {
                    used.insert(exception);
                }
                (_, true) => {}
            }
        }
        snapshots.insert(name.to_owned());
    }
    assert!(missing.is_empty(), "statuses without a snapshot: {missing:#?}");
    for (index, exception) in WITHOUT_SNAPSHOT.iter().enumerate() {
        assert!(used.contains(&index), "every such status has a snapshot: {exception:?}");
    }
    let files: BTreeSet<String> = std::fs::read_dir(directory)
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".snap")?.to_owned()))
        .collect();
    assert_eq!(files, snapshots, "a snapshot for each operation, and no other");
}
