//! Imports from a legacy server, a file, or an export.

use serde_json::{Value, json};

use crate::{
    support::{
        ADMIN, TestEnv,
        bamboo::{Behavior, FakeBamboo, Fault},
        certificate::Certificate,
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
    an_export_round_trips,
    an_export_is_merged_into_existing_tokens,
    a_value_belongs_to_one_token,
    deleted_tokens_are_not_reimported_by_default,
    admins_are_imported_only_on_request,
    invalid_sources_are_reported,
];
tests![SQLITE_TESTS: transient_errors_are_retried, server_errors_are_reported, certificates_are_checked, progress_is_shown_only_on_terminals];

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

fn an_export_round_trips(env: &TestEnv) {
    let app = env.app();
    app.new_legacy_token(&json!({ "name": "agent \"é\"", "read": true }));
    let (id, old) = app.new_token(&json!({
        "name": "full", "permissions": ["AlertRead"], "allowedCIDRBlocks": ["127.0.0.0/8", "2001:db8::/32"],
        "expiresAt": env.clock.seconds_from_now(3600),
    }));
    let rotation = json!({ "gracePeriodSeconds": 600 });
    let value = string(
        &app.post(&format!("{TOKENS}/{id}/rotate"), Auth::Admin, &rotation)
            .json()["value"],
    );
    app.post(&format!("{TOKENS}/{id}"), Auth::Key(&value), &json!({ "name": "x" }))
        .expect(403);
    app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &json!({ "name": "renamed" }))
        .expect(200);
    app.get(&format!("{TOKENS}/self"), Auth::Key(&old)).expect(200);
    app.stop();
    let here = Program::new(&env.store.url());
    let without_admins = here.run(&["export"]);
    assert_output(&without_admins, 0, &["2 tokens and 0 admins exported"]);
    assert!(!without_admins.stdout.contains("argon2") && !without_admins.stdout.contains("tbk_"));
    let file = env.store.directory.path().join("export.jsonl");
    let file = file.to_str().unwrap();
    assert_output(
        &here.run(&["export", file, "--with-admins"]),
        0,
        &["2 tokens and 1 admins exported"],
    );
    assert_output(&here.run(&["export", file]), 1, &["cannot create"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let url = env.store.fresh_url();
    let there = Program::new(&url);
    assert_output(
        &there.run(&["import", file]),
        1,
        &["is an admin; use --with-admins to import admins", "nothing was written"],
    );
    let with_admins = ["import", file, "--with-admins"];
    assert_output(
        &there.run(&with_admins),
        0,
        &["3 created, 0 unchanged, 0 changed, 0 refused"],
    );
    assert_output(&there.run(&with_admins), 0, &["0 created, 3 unchanged"]);
    let again = there.run(&["export", "--with-admins"]);
    assert_eq!(again.stdout, std::fs::read_to_string(file).unwrap());
    let app = env.app_on(&url, &[]);
    for key in [&value, &old] {
        app.get(&format!("{TOKENS}/self"), Auth::Key(key)).expect(200);
    }
    app.get(TOKENS, Auth::Admin).expect(200);
}

fn an_export_is_merged_into_existing_tokens(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let export = Program::new(&env.store.url()).run(&["export"]).stdout;
    // A later use does not count as a difference.
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    app.stop();
    assert_output(
        &import_text(env, &export, &["--update"]),
        0,
        &["1 unchanged, 0 changed"],
    );
    let app = env.app();
    let rotated = app
        .send("POST", &format!("{TOKENS}/{id}/rotate"), Auth::Admin, &[], "")
        .expect(200);
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(401);
    assert_output(
        &import_text(env, &export, &[]),
        1,
        &["differs in values or times; use --update"],
    );
    assert_output(
        &import_text(env, &export, &["--update", "--only", ONE]),
        0,
        &["0 unchanged, 0 changed"],
    );
    assert_output(
        &import_text(env, &export, &["--update", "--only", &id]),
        0,
        &["0 unchanged, 1 changed"],
    );
    let used = "SELECT last_used_at || '' AS found FROM tokens WHERE last_used_at IS NOT NULL";
    assert_eq!(env.store.texts(used).len(), 1, "a last use does not go backwards");
    crate::support::wait_until("the server knows the change", || {
        let new = string(&rotated.json()["value"]);
        let statuses = [&value, &new].map(|key| app.get(&format!("{TOKENS}/self"), Auth::Key(key)).status);
        (statuses == [200, 401]).then_some(())
    });
    let half: String = export.lines().take(2).collect::<Vec<_>>().join("\n");
    assert_output(&import_text(env, &half, &[]), 1, &["the export is truncated"]);
    let newer = export.replace("\"version\":1", "\"version\":2");
    assert_output(&import_text(env, &newer, &[]), 1, &["version 2"]);
}

fn a_value_belongs_to_one_token(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "victim", "permissions": ["AlertRead"] }));
    let export = Program::new(&env.store.url()).run(&["export"]).stdout;
    let current = export.replace(&id, ONE);
    let hash = export
        .split("\"valueHash\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let grace = format!("[{{\"valueHash\":\"{hash}\",\"validUntil\":\"2099-01-01T00:00:00Z\"}}]");
    let in_grace = current
        .replace(&format!("\"valueHash\":\"{hash}\""), "\"valueHash\":null")
        .replace("\"graceValues\":[]", &format!("\"graceValues\":{grace}"));
    let twice = export.replace("\"graceValues\":[]", &format!("\"graceValues\":{grace}"));
    for (thief, reason) in [
        (&current, "one of its values belongs to another token"),
        (&in_grace, "one of its values belongs to another token"),
        (&twice, "one of its values occurs twice"),
    ] {
        assert_ne!(*thief, export);
        assert_output(
            &import_text(env, thief, &["--keep-going", "--update"]),
            1,
            &[reason, "1 refused"],
        );
    }
    let signed = export.replace(hash, &"+f".repeat(32));
    assert_output(
        &import_text(env, &signed, &["--update"]),
        1,
        &["must be 64 hexadecimal digits"],
    );
    app.delete(&format!("{TOKENS}/{id}"), Auth::Admin).expect(204);
    app.get("/verify?require=AlertRead", Auth::Key(&value)).expect(401);
}

fn deleted_tokens_are_not_reimported_by_default(env: &TestEnv) {
    assert_output(&import_text(env, &list(), &[]), 0, &["2 created"]);
    env.app().delete(&format!("{TOKENS}/{ONE}"), Auth::Admin).expect(204);
    assert_output(
        &import_text(env, &list(), &[]),
        1,
        &["was deleted from this store; use --update to restore it"],
    );
    assert_output(
        &import_text(env, &list(), &["--update"]),
        0,
        &["1 created, 1 unchanged"],
    );
}

fn admins_are_imported_only_on_request(env: &TestEnv) {
    let here = Program::new(&env.store.url());
    let export = here.run(&["export", "--with-admins"]).stdout;
    let bamboo = FakeBamboo::start(Behavior {
        body: export.replace("\"name\":\"admin\"", "\"name\":\"backdoor\""),
        ..Behavior::default()
    });
    let address = format!("http://{}", bamboo.address);
    assert_output(
        &import(env, &["--with-admins", &address]),
        1,
        &["is not the token list of a legacy server"],
    );
    let line = export.lines().find(|line| line.contains("\"admin\"")).unwrap();
    let twice = export
        .replace(line, &format!("{line}\n{line}"))
        .replace("\"admins\":1", "\"admins\":2");
    assert_output(
        &import_text(env, &twice, &["--with-admins"]),
        1,
        &["an earlier row has the same uuid or name"],
    );
    for hash in [
        "junk",
        "$argon2id$v=19$m=4000000,t=50,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        let known = line
            .split("\"passwordHash\":\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let costly = export.replace(known, hash);
        assert_output(
            &import_text(env, &costly, &["--with-admins", "--update"]),
            1,
            &["must be the argon2id hash of a password"],
        );
    }
    assert_eq!(here.run(&["export", "--with-admins"]).stdout, export);
}

fn invalid_sources_are_reported(env: &TestEnv) {
    for (text, reason) in [
        ("", "is empty"),
        (" \n", "is empty"),
        ("<!DOCTYPE html><html></html>", "an HTML page"),
        ("[{\"uuid\"", "is not a JSON array"),
        ("[] []", "is not a JSON array"),
        (
            "{\"results\":[]}",
            "neither the token list of a legacy server nor an export",
        ),
        ("hello", "neither the token list of a legacy server nor an export"),
    ] {
        assert_output(&import_text(env, text, &[]), 1, &[reason]);
    }
    assert_output(
        &Program::new(&env.store.url()).run(&["import", "/nowhere/list.json"]),
        1,
        &["cannot read /nowhere/list.json"],
    );
    assert_output(
        &Program::new(&env.store.url()).run(&["import", "http://admin:pw@bamboo"]),
        2,
        &["use --user"],
    );
    assert_output(&import_text(env, "[]", &[]), 0, &["0 created"]);
}

fn transient_errors_are_retried(env: &TestEnv) {
    let busy = Fault::Response("503 Service Unavailable", "Retry-After: 0\r\n", "");
    let bamboo = FakeBamboo::start(Behavior {
        body: list(),
        first: vec![busy, Fault::Reset, busy],
        ..Behavior::default()
    });
    let output = import(env, &[&format!("http://{}", bamboo.address)]);
    assert_output(
        &output,
        0,
        &["2 created", "responded with 503", "is incomplete", "retrying"],
    );
    assert_eq!(bamboo.requested_paths().len(), 4);
}

fn server_errors_are_reported(env: &TestEnv) {
    for (fault, asked, reason) in [
        (
            Fault::Response("500 Internal Server Error", "Retry-After: 0\r\n", ""),
            4,
            "responded with 500",
        ),
        (
            Fault::Response("200 OK", "Content-Type: text/html\r\n", "<html>Log in</html>"),
            1,
            "an HTML page",
        ),
        (Fault::Response("200 OK", "", ""), 1, "is empty"),
        (
            Fault::Response(
                "403 Forbidden",
                "X-Authentication-Denied-Reason: CAPTCHA_CHALLENGE\r\n",
                "",
            ),
            1,
            "(CAPTCHA_CHALLENGE): 403",
        ),
        (
            Fault::Response("302 Found", "Location: https://bamboo/login\r\n", ""),
            1,
            "redirects to https://bamboo/login",
        ),
        (Fault::Response("418 I'm a teapot", "", ""), 1, "responded with 418"),
    ] {
        let bamboo = FakeBamboo::start(Behavior {
            always: Some(fault),
            ..Behavior::default()
        });
        assert_output(&import(env, &[&format!("http://{}", bamboo.address)]), 1, &[reason]);
        assert_eq!(bamboo.requested_paths().len(), asked, "{reason}");
    }
    let slow = FakeBamboo::start(Behavior {
        body: list(),
        first: vec![Fault::Sleep],
        ..Behavior::default()
    });
    let output = import(
        env,
        &["--source-timeout-seconds", "1", &format!("http://{}", slow.address)],
    );
    assert_output(&output, 0, &["does not respond: timeout", "2 created"]);
    let bamboo = FakeBamboo::start(Behavior::default());
    let address = format!("http://{}", bamboo.address);
    let program = Program::new(&env.store.url());
    assert_output(
        &program.run(&["import", &address]),
        1,
        &["requires a user name and a password; use --user"],
    );
    let wrong = program.run_with_input(&["import", "--user", "admin", "--password-stdin", &address], "wrong");
    assert_output(&wrong, 1, &["refuses the user or the password: 401"]);
    assert_output(
        &program.run(&["import", "--user", "admin", &address]),
        1,
        &["cannot prompt for the password without a terminal"],
    );
    let gone = format!("http://{}", bamboo.address);
    drop(bamboo);
    assert_output(&import(env, &[&gone]), 1, &["does not respond"]);
}

fn certificates_are_checked(env: &TestEnv) {
    let certificate = Certificate::write(env.store.directory.path());
    let acceptor = certificate.acceptor();
    let bamboo = FakeBamboo::start_with_tls(
        Behavior {
            body: list(),
            ..Behavior::default()
        },
        acceptor,
    );
    let address = format!("https://localhost:{}", bamboo.address.port());
    assert_output(&import(env, &[&address]), 1, &["use --ca-file"]);
    assert!(bamboo.requested_paths().is_empty(), "no password was sent");
    let certificate = certificate.chain.to_str().unwrap();
    assert_output(&import(env, &["--ca-file", certificate, &address]), 0, &["2 created"]);
    let output = import(env, &["--insecure", &address]);
    assert_output(&output, 0, &["2 unchanged", "--insecure (TOKENBRIDGE_INSECURE) is set"]);
    assert_output(
        &import(env, &["--ca-file", "/nowhere.pem", &address]),
        1,
        &["cannot read /nowhere.pem"],
    );
}

fn progress_is_shown_only_on_terminals(env: &TestEnv) {
    let output = import_text(env, &list(), &[]);
    assert_eq!(output.stdout, "2 created, 0 unchanged, 0 changed, 0 refused\n");
    assert!(!output.stderr.contains("rows"), "{output:?}");
}
