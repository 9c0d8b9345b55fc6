//! The output format of commands, and the place of flags.

use serde_json::{Value, json};

use crate::{
    support::{TestEnv, client::string, program::Program},
    tests,
};

tests![
    every_command_prints_json,
    csv_is_refused_where_it_does_not_fit,
    flags_of_the_server_follow_the_command,
];

fn every_command_prints_json(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let json_of = |arguments: &[&str], input: &str| -> Value {
        let output = program.run_with_input(arguments, input);
        assert_eq!(output.exit_code, 0, "{arguments:?}: {output:?}");
        serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {output:?}"))
    };
    for arguments in [
        ["--output", "json", "token", "list"],
        ["token", "--output", "json", "list"],
        ["token", "list", "--output", "json"],
    ] {
        assert_eq!(json_of(&arguments, ""), json!([]));
    }
    let created = json_of(&["--output=json", "token", "create", "n"], "");
    let (id, value) = (string(&created["id"]), string(&created["value"]));
    let file = env.store.directory.path().join("import.json");
    std::fs::write(&file, "[]").unwrap();
    let url = env.store.fresh_url();
    for (arguments, input, expected) in [
        (
            &["admin", "add", "ops", "--role", "auditor", "--password-stdin"][..],
            "correct horse",
            json!({ "name": "ops", "role": "auditor" }),
        ),
        (
            &["admin", "passwd", "ops", "--password-stdin"],
            "battery staple",
            json!({ "name": "ops" }),
        ),
        (
            &["admin", "role", "ops", "operator"],
            "",
            json!({ "name": "ops", "role": "operator" }),
        ),
        (&["admin", "remove", "ops"], "", json!({ "name": "ops" })),
    ] {
        assert_eq!(json_of(&[&["--output", "json"], arguments].concat(), input), expected);
    }
    let migrated = json_of(&["migrate", "--database-url", &url, "--output", "json"], "");
    assert_eq!(migrated["upToDate"], true);
    for arguments in [
        &["admin", "list"][..],
        &["token", "show", &id],
        &["token", "lookup"],
        &["token", "usage", &id],
        &["token", "update", &id, "--owner", "ops"],
        &["token", "disable", &id],
        &["token", "enable", &id],
        &["token", "rotate", &id],
        &["import", file.to_str().unwrap()],
        &["legacy-usage"],
        &["check"],
    ] {
        json_of(&[arguments, &["--output", "json"]].concat(), &value);
    }
    let deleted = json_of(&["token", "delete", &id, "--output", "json"], "");
    assert_eq!(deleted, json!({ "deleted": 1 }));
    let events = program.run(&["--output", "json", "audit"]).stdout;
    assert!(events.lines().count() > 5, "{events}");
    for line in events.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
}

fn csv_is_refused_where_it_does_not_fit(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    for arguments in [
        &["token", "create", "n"][..],
        &["admin", "list"],
        &["check"],
        &["migrate"],
    ] {
        let refused = program.run(&[arguments, &["--output", "csv"]].concat());
        assert_eq!(refused.exit_code, 2, "{refused:?}");
        assert!(
            refused
                .stderr
                .contains("--output (TOKENBRIDGE_OUTPUT): csv is a format of token list"),
            "{refused:?}"
        );
    }
    let listed = program.run(&["--output", "csv", "token", "list"]).stdout;
    assert!(listed.starts_with("id,") && listed.lines().count() == 1, "{listed}");
}

fn flags_of_the_server_follow_the_command(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    for (arguments, flag) in [
        (
            &["--workers", "1", "token", "list"][..],
            "'--workers' before the command 'token'",
        ),
        (
            &["--legacy-uuid-auth", "token", "list"],
            "'--legacy-uuid-auth' before the command 'token'",
        ),
        (
            &["--listen", "127.0.0.1:1", "healthcheck"],
            "'--listen' before the command 'healthcheck'",
        ),
    ] {
        let refused = program.run(arguments);
        assert_eq!(refused.exit_code, 2, "{refused:?}");
        assert!(refused.stderr.contains(flag), "{refused:?}");
    }
}
