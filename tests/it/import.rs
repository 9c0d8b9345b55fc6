//! Bringing tokens in from a legacy server, a file or an export.

use serde_json::{Value, json};

use crate::{
    support::{
        ADMIN, Lab,
        bamboo::{Bamboo, Manner, Trouble},
        certificate::Certificate,
        client::{As, LEGACY, TOKENS, string},
        program::{Ended, Program},
    },
    tests,
};

tests![
    a_legacy_server_is_brought_over,
    the_older_prefix_is_found,
    an_import_can_be_repeated,
    a_difference_is_a_conflict_unless_it_is_to_be_updated,
    one_refused_row_refuses_all,
    the_others_are_imported_with_keep_going,
    a_dry_run_writes_nothing_and_says_the_same,
    a_changed_token_is_seen_by_a_running_server,
    an_export_comes_back_equal,
    an_export_meets_what_is_there,
    a_value_belongs_to_one_token,
    what_was_deleted_here_does_not_come_back_by_itself,
    admins_come_from_the_operator_alone,
    broken_sources_are_told,
];
tests![OF_SERVERS_OF_OTHERS: what_passes_is_tried_again, troubles_are_told, certificates_are_checked, progress_is_for_terminals];

const ONE: &str = "11111111-1111-4111-8111-111111111111";
const TWO: &str = "22222222-2222-4222-8222-222222222222";

fn list() -> String {
    json!([
        { "uuid": ONE, "name": "agent one", "read": true, "change": false },
        { "uuid": TWO, "name": "agent two", "read": true, "change": true, "other": 1 },
    ])
    .to_string()
}

fn import(lab: &Lab, arguments: &[&str]) -> Ended {
    let mut all = vec!["import", "--user", ADMIN.0, "--password-stdin"];
    all.extend(arguments);
    Program::new(&lab.store.url()).run_with_input(&all, ADMIN.1)
}

fn import_text(lab: &Lab, text: &str, arguments: &[&str]) -> Ended {
    let mut all = vec!["import", "-"];
    all.extend(arguments);
    Program::new(&lab.store.url()).run_with_input(&all, text)
}

#[track_caller]
fn said(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    for part in parts {
        assert!(
            ended.out.contains(part) || ended.err.contains(part),
            "{part:?}: {ended:?}"
        );
    }
    assert!(!ended.out.contains(ADMIN.1) && !ended.err.contains(ADMIN.1));
}

fn legacy_list(lab: &Lab) -> String {
    lab.app().get(LEGACY, As::Admin).expect(200).text
}

fn a_legacy_server_is_brought_over(lab: &Lab) {
    for (context, slash) in [("", ""), ("/builds", "/")] {
        let bamboo = Bamboo::start(Manner {
            context,
            body: list(),
            ..Manner::default()
        });
        let address = format!("http://{}{context}{slash}", bamboo.address);
        let imported = import(lab, &[&address]);
        assert_eq!(imported.code, 0, "{imported:?}");
        assert_eq!(bamboo.asked(), [format!("{context}/rest/agent-config/1.0/tokens")]);
    }
    let expected = format!(
        "[{{\"uuid\":\"{ONE}\",\"name\":\"agent one\",\"read\":true,\"change\":false}},\
         {{\"uuid\":\"{TWO}\",\"name\":\"agent two\",\"read\":true,\"change\":true}}]"
    );
    assert_eq!(legacy_list(lab), expected);
    let app = lab.app();
    let token = app.get(&format!("{TOKENS}/{TWO}"), As::Admin).json();
    assert_eq!(token["expiresAt"], Value::Null);
    assert_eq!(token["createdBy"], json!({ "id": "cli", "type": "system" }));
    assert_eq!(
        token["permissions"],
        json!(["OrganizationAPITokenModify", "OrganizationAPITokenRead"])
    );
    let legacy = app.get(&format!("{TOKENS}?state=legacy"), As::Admin).json();
    assert_eq!(legacy["results"].as_array().unwrap().len(), 2);
    let events = lab
        .store
        .texts("SELECT details AS found FROM audit_events WHERE action = 'token.imported' AND door = 'cli'");
    assert_eq!(events.len(), 2);
    assert!(events[0].contains("http://127.0.0.1:"), "{events:?}");
}

fn the_older_prefix_is_found(lab: &Lab) {
    for lists in [
        &["/rest/agent/1.0/tokens"][..],
        &["/rest/agent/1.0/tokens/"],
        &["/rest/agent-config/1.0/tokens/"],
    ] {
        let bamboo = Bamboo::start(Manner {
            lists,
            body: list(),
            ..Manner::default()
        });
        said(
            &import(lab, &[&format!("http://{}", bamboo.address)]),
            0,
            &["0 refused"],
        );
        assert_eq!(bamboo.asked().last().unwrap(), lists[0]);
    }
    let bamboo = Bamboo::start(Manner {
        lists: &["/x/rest/agent/1.0/tokens"],
        ..Manner::default()
    });
    let whole = format!("http://{}/x/rest/agent/1.0/tokens", bamboo.address);
    said(&import(lab, &[&whole]), 0, &["0 created"]);
    assert_eq!(bamboo.asked(), ["/x/rest/agent/1.0/tokens"]);
    let elsewhere = format!("http://{}/y", bamboo.address);
    said(
        &import(lab, &[&elsewhere]),
        1,
        &["there is no list of tokens below", "context path"],
    );
}

fn an_import_can_be_repeated(lab: &Lab) {
    said(
        &import_text(lab, &list(), &[]),
        0,
        &["2 created, 0 unchanged, 0 changed, 0 refused\n"],
    );
    let before = legacy_list(lab);
    said(
        &import_text(lab, &list(), &[]),
        0,
        &["0 created, 2 unchanged, 0 changed, 0 refused\n"],
    );
    said(
        &import_text(lab, &list(), &["--update"]),
        0,
        &["0 created, 2 unchanged, 0 changed"],
    );
    assert_eq!(legacy_list(lab), before);
    assert_eq!(
        lab.store
            .texts("SELECT action AS found FROM audit_events WHERE action = 'token.imported'")
            .len(),
        2
    );
}

fn a_difference_is_a_conflict_unless_it_is_to_be_updated(lab: &Lab) {
    said(&import_text(lab, &list(), &[]), 0, &[]);
    let app = lab.app();
    let path = format!("{TOKENS}/{ONE}");
    let value = string(&app.send("POST", &format!("{path}/rotate"), As::Admin, &[], "").json()["value"]);
    let own = json!({ "permissions": ["AlertRead", "OrganizationAPITokenRead"], "allowedCIDRBlocks": ["127.0.0.0/8"] });
    app.post(&path, As::Admin, &own).expect(200);
    said(&import_text(lab, &list(), &[]), 0, &["2 unchanged"]);
    let other = list()
        .replace("agent one", "agent 1")
        .replace("\"change\":false", "\"change\":true");
    let refused = import_text(lab, &other, &[]);
    said(
        &refused,
        1,
        &[
            &format!("row 1 {ONE}: refused: it is there already and differs in name, permissions; --update"),
            "nothing was written",
        ],
    );
    said(
        &import_text(lab, &other, &["--update"]),
        0,
        &[
            &format!("row 1 {ONE}: changed: name, permissions"),
            "1 unchanged, 1 changed",
        ],
    );
    // What the legacy list does not show stays.
    let token = app.get(&format!("{TOKENS}/self"), As::Key(&value)).expect(200).json();
    assert_eq!(token["name"], "agent 1");
    assert_eq!(
        token["permissions"],
        json!(["AlertRead", "OrganizationAPITokenModify", "OrganizationAPITokenRead"])
    );
    assert_eq!(token["allowedCIDRBlocks"], json!(["127.0.0.0/8"]));
    assert_eq!(token["updatedBy"], json!({ "id": "cli", "type": "system" }));
}

/// Rows that are wrong, each with the reason.
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
        (2, "uuid: it is not a UUID"),
        (3, "255 are the most"),
        (4, "must have a visible character"),
        (5, "has come before"),
        (6, "name: it is missing"),
        (7, "read: it is neither true nor false"),
        (8, "it is not an object"),
        (9, "uuid: it is not a UUID"),
    ];
    (rows.to_string(), reasons)
}

fn one_refused_row_refuses_all(lab: &Lab) {
    let (rows, reasons) = wrong_rows();
    let ended = import_text(lab, &rows, &[]);
    said(
        &ended,
        1,
        &[
            "1 created, 0 unchanged, 0 changed, 8 refused (nothing was written)",
            "8 of 9 rows were refused",
        ],
    );
    for (row, reason) in reasons {
        let line = ended
            .out
            .lines()
            .find(|line| line.starts_with(&format!("row {row} ")))
            .unwrap();
        assert!(line.contains(": refused: ") && line.contains(reason), "{line}");
    }
    assert_eq!(legacy_list(lab), "[]");
    assert!(
        lab.store
            .texts("SELECT action AS found FROM audit_events WHERE action = 'token.imported'")
            .is_empty()
    );
}

fn the_others_are_imported_with_keep_going(lab: &Lab) {
    let (rows, _) = wrong_rows();
    let ended = import_text(lab, &rows, &["--keep-going", "--output", "json"]);
    said(&ended, 1, &["8 of 9 rows were refused, and the others were imported"]);
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(report["created"], 1);
    assert_eq!(report["written"], true);
    assert_eq!(report["rows"][0], json!({ "row": 1, "id": ONE, "outcome": "created" }));
    assert_eq!(
        report["rows"][1],
        json!({ "row": 2, "id": "nonsense", "outcome": "refused", "reason": "uuid: it is not a UUID" })
    );
    assert!(legacy_list(lab).contains("good"));
}

fn a_dry_run_writes_nothing_and_says_the_same(lab: &Lab) {
    let dry = import_text(lab, &list(), &["--dry-run", "--output", "json"]);
    let mut told: Value = serde_json::from_str(&dry.out).unwrap();
    assert_eq!(told["dryRun"], true);
    assert_eq!(told["written"], false);
    assert_eq!(legacy_list(lab), "[]");
    said(
        &import_text(lab, &list(), &["--dry-run"]),
        0,
        &["2 created", "(a dry run: nothing was written)"],
    );
    let real: Value = serde_json::from_str(&import_text(lab, &list(), &["--output", "json"]).out).unwrap();
    told["dryRun"] = json!(false);
    told["written"] = json!(true);
    assert_eq!(real, told);
}

fn a_changed_token_is_seen_by_a_running_server(lab: &Lab) {
    let app = lab.app();
    said(&import_text(lab, &list(), &[]), 0, &[]);
    let rotated = app.send("POST", &format!("{TOKENS}/{ONE}/rotate"), As::Admin, &[], "");
    let value = string(&rotated.json()["value"]);
    app.get("/verify", As::Key(&value)).expect(200);
    let without_read = list().replace("\"read\":true,\"uuid\":\"1111", "\"read\":false,\"uuid\":\"1111");
    assert_ne!(without_read, list());
    said(&import_text(lab, &without_read, &["--update"]), 0, &["1 changed"]);
    crate::support::eventually("the server has heard of it", || {
        (app.get("/verify", As::Key(&value)).status == 403).then_some(())
    });
}

fn an_export_comes_back_equal(lab: &Lab) {
    let app = lab.app();
    app.new_legacy_token(&json!({ "name": "agent \"é\"", "read": true }));
    let (id, old) = app.new_token(&json!({
        "name": "full", "permissions": ["AlertRead"], "allowedCIDRBlocks": ["127.0.0.0/8", "2001:db8::/32"],
        "expiresAt": lab.clock.in_seconds(3600),
    }));
    let rotation = json!({ "gracePeriodSeconds": 600 });
    let value = string(&app.post(&format!("{TOKENS}/{id}/rotate"), As::Admin, &rotation).json()["value"]);
    app.post(&format!("{TOKENS}/{id}"), As::Key(&value), &json!({ "name": "x" }))
        .expect(403);
    app.post(&format!("{TOKENS}/{id}"), As::Admin, &json!({ "name": "renamed" }))
        .expect(200);
    app.get(&format!("{TOKENS}/self"), As::Key(&old)).expect(200);
    app.stop();
    let here = Program::new(&lab.store.url());
    let without_admins = here.run(&["export"]);
    said(&without_admins, 0, &["2 tokens and 0 admins exported"]);
    assert!(!without_admins.out.contains("argon2") && !without_admins.out.contains("tbk_"));
    let file = lab.store.directory.path().join("export.jsonl");
    let file = file.to_str().unwrap();
    said(
        &here.run(&["export", file, "--with-admins"]),
        0,
        &["2 tokens and 1 admins exported"],
    );
    said(&here.run(&["export", file]), 1, &["cannot make"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let url = lab.store.fresh_url();
    let there = Program::new(&url);
    said(
        &there.run(&["import", file]),
        1,
        &["it is an admin; --with-admins imports those", "nothing was written"],
    );
    let with_admins = ["import", file, "--with-admins"];
    said(
        &there.run(&with_admins),
        0,
        &["3 created, 0 unchanged, 0 changed, 0 refused"],
    );
    said(&there.run(&with_admins), 0, &["0 created, 3 unchanged"]);
    let again = there.run(&["export", "--with-admins"]);
    assert_eq!(again.out, std::fs::read_to_string(file).unwrap());
    let app = lab.app_on(&url, &[]);
    for key in [&value, &old] {
        app.get(&format!("{TOKENS}/self"), As::Key(key)).expect(200);
    }
    app.get(TOKENS, As::Admin).expect(200);
}

fn an_export_meets_what_is_there(lab: &Lab) {
    let app = lab.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let export = Program::new(&lab.store.url()).run(&["export"]).out;
    // A use since then is no difference.
    app.get(&format!("{TOKENS}/self"), As::Key(&value)).expect(200);
    app.stop();
    said(
        &import_text(lab, &export, &["--update"]),
        0,
        &["1 unchanged, 0 changed"],
    );
    let app = lab.app();
    let rotated = app
        .send("POST", &format!("{TOKENS}/{id}/rotate"), As::Admin, &[], "")
        .expect(200);
    app.get(&format!("{TOKENS}/self"), As::Key(&value)).expect(401);
    said(
        &import_text(lab, &export, &[]),
        1,
        &["differs in values or times; --update"],
    );
    said(
        &import_text(lab, &export, &["--update", "--only", ONE]),
        0,
        &["0 unchanged, 0 changed"],
    );
    said(
        &import_text(lab, &export, &["--update", "--only", &id]),
        0,
        &["0 unchanged, 1 changed"],
    );
    let used = "SELECT last_used_at || '' AS found FROM tokens WHERE last_used_at IS NOT NULL";
    assert_eq!(lab.store.texts(used).len(), 1, "a last use does not go backwards");
    crate::support::eventually("the server has heard of it", || {
        let new = string(&rotated.json()["value"]);
        let statuses = [&value, &new].map(|key| app.get(&format!("{TOKENS}/self"), As::Key(key)).status);
        (statuses == [200, 401]).then_some(())
    });
    let half: String = export.lines().take(2).collect::<Vec<_>>().join("\n");
    said(&import_text(lab, &half, &[]), 1, &["the export breaks off"]);
    let newer = export.replace("\"version\":1", "\"version\":2");
    said(&import_text(lab, &newer, &[]), 1, &["version 2"]);
}

fn a_value_belongs_to_one_token(lab: &Lab) {
    let app = lab.app();
    let (id, value) = app.new_token(&json!({ "name": "victim", "permissions": ["AlertRead"] }));
    let export = Program::new(&lab.store.url()).run(&["export"]).out;
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
        (&twice, "one of its values is there twice"),
    ] {
        assert_ne!(*thief, export);
        said(
            &import_text(lab, thief, &["--keep-going", "--update"]),
            1,
            &[reason, "1 refused"],
        );
    }
    let signed = export.replace(hash, &"+f".repeat(32));
    said(
        &import_text(lab, &signed, &["--update"]),
        1,
        &["it is not 64 hexadecimal digits"],
    );
    app.delete(&format!("{TOKENS}/{id}"), As::Admin).expect(204);
    app.get("/verify?require=AlertRead", As::Key(&value)).expect(401);
}

fn what_was_deleted_here_does_not_come_back_by_itself(lab: &Lab) {
    said(&import_text(lab, &list(), &[]), 0, &["2 created"]);
    lab.app().delete(&format!("{TOKENS}/{ONE}"), As::Admin).expect(204);
    said(
        &import_text(lab, &list(), &[]),
        1,
        &["it was deleted here; --update would bring it back"],
    );
    said(
        &import_text(lab, &list(), &["--update"]),
        0,
        &["1 created, 1 unchanged"],
    );
}

fn admins_come_from_the_operator_alone(lab: &Lab) {
    let here = Program::new(&lab.store.url());
    let export = here.run(&["export", "--with-admins"]).out;
    let bamboo = Bamboo::start(Manner {
        body: export.replace("\"name\":\"admin\"", "\"name\":\"backdoor\""),
        ..Manner::default()
    });
    let address = format!("http://{}", bamboo.address);
    said(
        &import(lab, &["--with-admins", &address]),
        1,
        &["it is not the list of a legacy server"],
    );
    let line = export.lines().find(|line| line.contains("\"admin\"")).unwrap();
    let twice = export
        .replace(line, &format!("{line}\n{line}"))
        .replace("\"admins\":1", "\"admins\":2");
    said(&import_text(lab, &twice, &["--with-admins"]), 1, &["has come before"]);
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
        said(
            &import_text(lab, &costly, &["--with-admins", "--update"]),
            1,
            &["it is not the argon2id hash of a password"],
        );
    }
    assert_eq!(here.run(&["export", "--with-admins"]).out, export);
}

fn broken_sources_are_told(lab: &Lab) {
    for (text, reason) in [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("<!DOCTYPE html><html></html>", "a page of HTML"),
        ("[{\"uuid\"", "it is not a list in JSON"),
        ("[] []", "it is not a list in JSON"),
        ("{\"results\":[]}", "neither the list of a legacy server nor an export"),
        ("hello", "neither the list of a legacy server nor an export"),
    ] {
        said(&import_text(lab, text, &[]), 1, &[reason]);
    }
    said(
        &Program::new(&lab.store.url()).run(&["import", "/nowhere/list.json"]),
        1,
        &["cannot read /nowhere/list.json"],
    );
    said(
        &Program::new(&lab.store.url()).run(&["import", "http://admin:pw@bamboo"]),
        2,
        &["use --user"],
    );
    said(&import_text(lab, "[]", &[]), 0, &["0 created"]);
}

fn what_passes_is_tried_again(lab: &Lab) {
    let busy = Trouble::Answer("503 Service Unavailable", "Retry-After: 0\r\n", "");
    let bamboo = Bamboo::start(Manner {
        body: list(),
        first: vec![busy, Trouble::Reset, busy],
        ..Manner::default()
    });
    let ended = import(lab, &[&format!("http://{}", bamboo.address)]);
    said(&ended, 0, &["2 created", "answers 503", "breaks off", "trying again"]);
    assert_eq!(bamboo.asked().len(), 4);
}

fn troubles_are_told(lab: &Lab) {
    for (trouble, asked, reason) in [
        (
            Trouble::Answer("500 Internal Server Error", "Retry-After: 0\r\n", ""),
            4,
            "answers 500",
        ),
        (
            Trouble::Answer("200 OK", "Content-Type: text/html\r\n", "<html>Log in</html>"),
            1,
            "a page of HTML",
        ),
        (Trouble::Answer("200 OK", "", ""), 1, "it is empty"),
        (
            Trouble::Answer(
                "403 Forbidden",
                "X-Authentication-Denied-Reason: CAPTCHA_CHALLENGE\r\n",
                "",
            ),
            1,
            "(CAPTCHA_CHALLENGE): 403",
        ),
        (
            Trouble::Answer("302 Found", "Location: https://bamboo/login\r\n", ""),
            1,
            "sends on to https://bamboo/login",
        ),
        (Trouble::Answer("418 I'm a teapot", "", ""), 1, "answers 418"),
    ] {
        let bamboo = Bamboo::start(Manner {
            always: Some(trouble),
            ..Manner::default()
        });
        said(&import(lab, &[&format!("http://{}", bamboo.address)]), 1, &[reason]);
        assert_eq!(bamboo.asked().len(), asked, "{reason}");
    }
    let slow = Bamboo::start(Manner {
        body: list(),
        first: vec![Trouble::Sleep],
        ..Manner::default()
    });
    let ended = import(
        lab,
        &["--source-timeout-seconds", "1", &format!("http://{}", slow.address)],
    );
    said(&ended, 0, &["does not answer: timeout", "2 created"]);
    let bamboo = Bamboo::start(Manner::default());
    let address = format!("http://{}", bamboo.address);
    let program = Program::new(&lab.store.url());
    said(
        &program.run(&["import", &address]),
        1,
        &["asks for a user name and a password; give --user"],
    );
    let wrong = program.run_with_input(&["import", "--user", "admin", "--password-stdin", &address], "wrong");
    said(&wrong, 1, &["refuses the user or the password: 401"]);
    said(
        &program.run(&["import", "--user", "admin", &address]),
        1,
        &["no terminal to ask for the password on"],
    );
    let gone = format!("http://{}", bamboo.address);
    drop(bamboo);
    said(&import(lab, &[&gone]), 1, &["does not answer"]);
}

fn certificates_are_checked(lab: &Lab) {
    let certificate = Certificate::write(lab.store.directory.path());
    let acceptor = certificate.acceptor();
    let bamboo = Bamboo::start_with_tls(
        Manner {
            body: list(),
            ..Manner::default()
        },
        acceptor,
    );
    let address = format!("https://localhost:{}", bamboo.address.port());
    said(&import(lab, &[&address]), 1, &["--ca-file names whom to trust"]);
    assert!(bamboo.asked().is_empty(), "no password was sent");
    let certificate = certificate.chain.to_str().unwrap();
    said(&import(lab, &["--ca-file", certificate, &address]), 0, &["2 created"]);
    let ended = import(lab, &["--insecure", &address]);
    said(&ended, 0, &["2 unchanged", "--insecure: whoever is between"]);
    said(
        &import(lab, &["--ca-file", "/nowhere.pem", &address]),
        1,
        &["cannot read /nowhere.pem"],
    );
}

fn progress_is_for_terminals(lab: &Lab) {
    let ended = import_text(lab, &list(), &[]);
    assert_eq!(ended.out, "2 created, 0 unchanged, 0 changed, 0 refused\n");
    assert!(!ended.err.contains("rows"), "{ended:?}");
}
