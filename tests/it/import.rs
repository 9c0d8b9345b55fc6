//! Imports from a legacy server, a file, or an export.

pub mod exports;
pub mod sources;

use serde_json::{Value, json};

use crate::{
    support::{
        ADMIN, TestEnv,
        bamboo::{Behavior, FakeBamboo},
        client::{Auth, LEGACY, TOKENS, string},
        program::{CommandOutput, Program},
    },
    tests,
};

tests![
    a_legacy_server_is_imported,
    the_older_prefix_is_found,
    an_import_can_be_repeated,
    differences_conflict_unless_updates_are_allowed,
    one_invalid_row_rejects_the_import,
    keep_going_imports_the_valid_rows,
    a_dry_run_writes_nothing_and_prints_the_same_report,
    a_running_server_sees_imported_changes,
];

const ONE: &str = "11111111-1111-4111-8111-111111111111";
const TWO: &str = "22222222-2222-4222-8222-222222222222";

fn list() -> String {
    json!([
        { "uuid": ONE, "name": "agent one", "read": true, "change": false },
        { "uuid": TWO, "name": "agent two", "read": true, "change": true, "other": 1 },
    ])
    .to_string()
}

fn import(env: &TestEnv, arguments: &[&str]) -> CommandOutput {
    let mut all = vec!["import", "--user", ADMIN.0, "--password-stdin"];
    all.extend(arguments);
    Program::new(&env.store.url()).run_with_input(&all, ADMIN.1)
}

fn import_text(env: &TestEnv, text: &str, arguments: &[&str]) -> CommandOutput {
    let mut all = vec!["import", "-"];
    all.extend(arguments);
    Program::new(&env.store.url()).run_with_input(&all, text)
}

#[track_caller]
fn assert_output(output: &CommandOutput, code: i32, parts: &[&str]) {
    assert_eq!(output.exit_code, code, "{output:?}");
    for part in parts {
        assert!(
            output.stdout.contains(part) || output.stderr.contains(part),
            "{part:?}: {output:?}"
        );
    }
    assert!(!output.stdout.contains(ADMIN.1) && !output.stderr.contains(ADMIN.1));
}

fn legacy_list(env: &TestEnv) -> String {
    env.app().get(LEGACY, Auth::Admin).expect(200).text
}

fn a_legacy_server_is_imported(env: &TestEnv) {
    for (context, slash) in [("", ""), ("/builds", "/")] {
        let bamboo = FakeBamboo::start(Behavior {
            context,
            body: list(),
            ..Behavior::default()
        });
        let address = format!("http://{}{context}{slash}", bamboo.address);
        let imported = import(env, &[&address]);
        assert_eq!(imported.exit_code, 0, "{imported:?}");
        assert_eq!(
            bamboo.requested_paths(),
            [format!("{context}/rest/agent-config/1.0/tokens")]
        );
    }
    let expected = format!(
        "[{{\"uuid\":\"{ONE}\",\"name\":\"agent one\",\"read\":true,\"change\":false}},\
         {{\"uuid\":\"{TWO}\",\"name\":\"agent two\",\"read\":true,\"change\":true}}]"
    );
    assert_eq!(legacy_list(env), expected);
    let app = env.app();
    let token = app.get(&format!("{TOKENS}/{TWO}"), Auth::Admin).json();
    assert_eq!(token["expiresAt"], Value::Null);
    assert_eq!(token["createdBy"], json!({ "id": "cli", "type": "system" }));
    assert_eq!(
        token["permissions"],
        json!(["OrganizationAPITokenModify", "OrganizationAPITokenRead"])
    );
    let legacy = app.get(&format!("{TOKENS}?state=legacy"), Auth::Admin).json();
    assert_eq!(legacy["results"].as_array().unwrap().len(), 2);
    let events = env
        .store
        .texts("SELECT details AS found FROM audit_events WHERE action = 'token.imported' AND channel = 'cli'");
    assert_eq!(events.len(), 2);
    assert!(events[0].contains("http://127.0.0.1:"), "{events:?}");
}

fn the_older_prefix_is_found(env: &TestEnv) {
    for lists in [
        &["/rest/agent/1.0/tokens"][..],
        &["/rest/agent/1.0/tokens/"],
        &["/rest/agent-config/1.0/tokens/"],
    ] {
        let bamboo = FakeBamboo::start(Behavior {
            lists,
            body: list(),
            ..Behavior::default()
        });
        assert_output(
            &import(env, &[&format!("http://{}", bamboo.address)]),
            0,
            &["0 refused"],
        );
        assert_eq!(bamboo.requested_paths().last().unwrap(), lists[0]);
    }
    let bamboo = FakeBamboo::start(Behavior {
        lists: &["/x/rest/agent/1.0/tokens"],
        ..Behavior::default()
    });
    let whole = format!("http://{}/x/rest/agent/1.0/tokens", bamboo.address);
    assert_output(&import(env, &[&whole]), 0, &["0 created"]);
    assert_eq!(bamboo.requested_paths(), ["/x/rest/agent/1.0/tokens"]);
    let elsewhere = format!("http://{}/y", bamboo.address);
    assert_output(
        &import(env, &[&elsewhere]),
        1,
        &["no token list found below", "context path"],
    );
}

fn an_import_can_be_repeated(env: &TestEnv) {
    assert_output(
        &import_text(env, &list(), &[]),
        0,
        &["2 created, 0 unchanged, 0 changed, 0 refused\n"],
    );
    let before = legacy_list(env);
    assert_output(
        &import_text(env, &list(), &[]),
        0,
        &["0 created, 2 unchanged, 0 changed, 0 refused\n"],
    );
    assert_output(
        &import_text(env, &list(), &["--update"]),
        0,
        &["0 created, 2 unchanged, 0 changed"],
    );
    assert_eq!(legacy_list(env), before);
    assert_eq!(
        env.store
            .texts("SELECT action AS found FROM audit_events WHERE action = 'token.imported'")
            .len(),
        2
    );
}

fn differences_conflict_unless_updates_are_allowed(env: &TestEnv) {
    assert_output(&import_text(env, &list(), &[]), 0, &[]);
    let app = env.app();
    let path = format!("{TOKENS}/{ONE}");
    let value = string(&app.send("POST", &format!("{path}/rotate"), Auth::Admin, &[], "").json()["value"]);
    let own = json!({ "permissions": ["AlertRead", "OrganizationAPITokenRead"], "allowedCIDRBlocks": ["127.0.0.0/8"] });
    app.post(&path, Auth::Admin, &own).expect(200);
    assert_output(&import_text(env, &list(), &[]), 0, &["2 unchanged"]);
    let other = list()
        .replace("agent one", "agent 1")
        .replace("\"change\":false", "\"change\":true");
    let refused = import_text(env, &other, &[]);
    assert_output(
        &refused,
        1,
        &[
            &format!("row 1 {ONE}: refused: already exists and differs in name, permissions; use --update"),
            "nothing was written",
        ],
    );
    assert_output(
        &import_text(env, &other, &["--update"]),
        0,
        &[
            &format!("row 1 {ONE}: changed: name, permissions"),
            "1 unchanged, 1 changed",
        ],
    );
    let version = format!("SELECT version || '' AS found FROM tokens WHERE id = '{ONE}'");
    assert_eq!(
        env.store.texts(&version),
        ["4"],
        "created, rotated, updated and imported"
    );
    // Fields that the legacy list does not show are kept.
    let token = app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200).json();
    assert_eq!(token["name"], "agent 1");
    assert_eq!(
        token["permissions"],
        json!(["AlertRead", "OrganizationAPITokenModify", "OrganizationAPITokenRead"])
    );
    assert_eq!(token["allowedCIDRBlocks"], json!(["127.0.0.0/8"]));
    assert_eq!(token["updatedBy"], json!({ "id": "cli", "type": "system" }));
}

/// Invalid rows, each with the reason.
fn wrong_rows() -> (String, Vec<(usize, &'static str)>) {
    let rows = json!([
        { "uuid": ONE, "name": "good", "read": true, "change": false },
        { "uuid": "nonsense", "name": "x" },
        { "uuid": TWO, "name": "x".repeat(256) },
        { "uuid": TWO, "name": " " },
        { "uuid": ONE, "name": "again" },
        { "uuid": TWO },
        { "uuid": TWO, "name": "x", "read": "true" },
        7,
        { "name": "x" },
    ]);
    let reasons = vec![
        (2, "uuid: must be a UUID"),
        (3, "the maximum is 255"),
        (4, "must contain a visible character"),
        (5, "an earlier row has the same uuid or name"),
        (6, "name: must be a string"),
        (7, "read: must be true or false"),
        (8, "is not a JSON object"),
        (9, "uuid: must be a UUID"),
    ];
    (rows.to_string(), reasons)
}

fn one_invalid_row_rejects_the_import(env: &TestEnv) {
    let (rows, reasons) = wrong_rows();
    let output = import_text(env, &rows, &[]);
    assert_output(
        &output,
        1,
        &[
            "1 created, 0 unchanged, 0 changed, 8 refused (nothing was written)",
            "8 of 9 rows were refused",
        ],
    );
    for (row, reason) in reasons {
        let line = output
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!("row {row} ")))
            .unwrap();
        assert!(line.contains(": refused: ") && line.contains(reason), "{line}");
    }
    assert_eq!(legacy_list(env), "[]");
    assert!(
        env.store
            .texts("SELECT action AS found FROM audit_events WHERE action = 'token.imported'")
            .is_empty()
    );
}

fn keep_going_imports_the_valid_rows(env: &TestEnv) {
    let (rows, _) = wrong_rows();
    let output = import_text(env, &rows, &["--keep-going", "--output", "json"]);
    assert_output(&output, 1, &["8 of 9 rows were refused, and the others were imported"]);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["created"], 1);
    assert_eq!(report["written"], true);
    assert_eq!(report["rows"][0], json!({ "row": 1, "id": ONE, "outcome": "created" }));
    assert_eq!(
        report["rows"][1],
        json!({ "row": 2, "id": "nonsense", "outcome": "refused", "reason": "uuid: must be a UUID" })
    );
    assert!(legacy_list(env).contains("good"));
}

fn a_dry_run_writes_nothing_and_prints_the_same_report(env: &TestEnv) {
    let dry = import_text(env, &list(), &["--dry-run", "--output", "json"]);
    let mut message: Value = serde_json::from_str(&dry.stdout).unwrap();
    assert_eq!(message["dryRun"], true);
    assert_eq!(message["written"], false);
    assert_eq!(legacy_list(env), "[]");
    assert_output(
        &import_text(env, &list(), &["--dry-run"]),
        0,
        &["2 created", "(a dry run: nothing was written)"],
    );
    let real: Value = serde_json::from_str(&import_text(env, &list(), &["--output", "json"]).stdout).unwrap();
    message["dryRun"] = json!(false);
    message["written"] = json!(true);
    assert_eq!(real, message);
}

fn a_running_server_sees_imported_changes(env: &TestEnv) {
    let app = env.app();
    assert_output(&import_text(env, &list(), &[]), 0, &[]);
    let rotated = app.send("POST", &format!("{TOKENS}/{ONE}/rotate"), Auth::Admin, &[], "");
    let value = string(&rotated.json()["value"]);
    app.get("/verify", Auth::Key(&value)).expect(200);
    let without_read = list().replace("\"read\":true,\"uuid\":\"1111", "\"read\":false,\"uuid\":\"1111");
    assert_ne!(without_read, list());
    assert_output(&import_text(env, &without_read, &["--update"]), 0, &["1 changed"]);
    crate::support::wait_until("the server knows the change", || {
        (app.get("/verify", Auth::Key(&value)).status == 403).then_some(())
    });
}
