//! The commands, as people and scripts run them.

use std::io::{Read, Write};

use openssl::ssl::{SslConnector, SslMethod};
use serde_json::{Value, json};

use crate::{
    support::{
        ADMIN, Lab,
        certificate::Certificate,
        client::{As, LEGACY, TOKENS, basic, string},
        eventually,
        program::Program,
    },
    tests,
};

tests![
    admins_are_added_changed_and_removed,
    tokens_are_made_rotated_and_deleted_beside_a_running_server,
    wrong_calls_exit_with_2,
    health_is_checked,
    help_is_complete,
    variables_stand_for_flags,
    empty_variables_count_as_unset,
    an_ignored_admin_password_is_logged,
    https_is_served,
    completions_are_printed,
];

fn admins_are_added_changed_and_removed(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    let file = lab.store.directory.path().join("password");
    std::fs::write(&file, "from a file\nsecond line").unwrap();
    let added = program.run(&["admin", "add", "ops", "--password-file", file.to_str().unwrap()]);
    assert_eq!((added.code, added.out.as_str()), (0, "added admin ops\n"), "{added:?}");
    let again = program.run_with_input(&["admin", "add", "ops", "--password-stdin"], "x");
    assert_eq!(
        (again.code, again.err.as_str()),
        (1, "tokenbridge: there is already an admin named \"ops\"\n")
    );
    let app = lab.app();
    app.get(LEGACY, As::Basic("ops", "from a file")).expect(200);
    assert_eq!(
        program
            .run_with_input(&["admin", "passwd", "ops", "--password-stdin"], "piped\n")
            .code,
        0
    );
    app.get(LEGACY, As::Basic("ops", "piped")).expect(200);
    let listed: Value = serde_json::from_str(&program.run(&["admin", "list", "--output", "json"]).out).unwrap();
    assert_eq!(
        (&listed[0]["name"], &listed[1]["name"]),
        (&json!("admin"), &json!("ops"))
    );
    assert!(listed[1]["passwordChangedAt"].is_string() && listed[0]["passwordChangedAt"].is_null());
    assert!(program.run(&["admin", "list"]).out.starts_with("NAME   ADDED"));
    assert_eq!(program.run(&["admin", "remove", "ops"]).code, 0);
    assert_eq!(
        program.run(&["admin", "remove", "ops"]).err,
        "tokenbridge: there is no such admin\n"
    );
    let last = program.run(&["admin", "remove", ADMIN.0]);
    assert_eq!((last.code, last.err.contains("the last admin")), (1, true), "{last:?}");
    app.get(LEGACY, As::Admin).expect(200);
}

fn tokens_are_made_rotated_and_deleted_beside_a_running_server(lab: &Lab) {
    let app = lab.app();
    let program = Program::new(&lab.store.url());
    let json_of = |arguments: &[&str]| -> Value {
        let ended = program.run(&[arguments, &["--output", "json"]].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    };
    assert_eq!(json_of(&["token", "list"]), json!([]));
    let far = "2999-01-01T00:00:00Z";
    let made = json_of(&[
        "token",
        "create",
        "by hand",
        "--permission",
        "AlertRead",
        "--permission",
        "UserRead",
        "--cidr",
        "127.0.0.1/8",
        "--expires-at",
        far,
    ]);
    assert_eq!(
        (&made["permissions"], &made["allowedCIDRBlocks"]),
        (&json!(["AlertRead", "UserRead"]), &json!(["127.0.0.0/8"]))
    );
    assert_eq!(
        (&made["expiresAt"], &made["createdBy"]),
        (&json!(far), &json!({ "id": "cli", "type": "system" }))
    );
    let (id, value) = (string(&made["id"]), string(&made["value"]));
    app.get(&format!("{TOKENS}/self"), As::Key(&value)).expect(200);
    let rotated = json_of(&["token", "rotate", &id, "--grace-period-seconds", "0"]);
    eventually("the server hears of it", || {
        (app.get(&format!("{TOKENS}/self"), As::Key(&value)).status == 401).then_some(())
    });
    app.get(&format!("{TOKENS}/self"), As::Key(&string(&rotated["value"])))
        .expect(200);
    let uuid = app.new_legacy_token(&json!({ "name": "old" }));
    assert_eq!(json_of(&["token", "list", "--state", "legacy"])[0]["id"], uuid);
    assert_eq!(json_of(&["token", "list"]).as_array().unwrap().len(), 2);
    let shown = json_of(&["token", "show", &id]);
    assert_eq!((&shown["name"], shown.get("value")), (&json!("by hand"), None));
    let table = program.run(&["token", "list"]);
    assert!(
        table.out.starts_with("ID ") && table.out.contains("by hand"),
        "{table:?}"
    );
    assert_eq!(program.run(&["token", "delete", &id]).code, 0);
    assert_eq!(
        program.run(&["token", "delete", &id]).err,
        "tokenbridge: there is no such token\n"
    );
    app.get(&format!("{TOKENS}/{id}"), As::Admin).expect(404);
}

fn wrong_calls_exit_with_2(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    for (arguments, told) in [
        (&["frob"][..], "unrecognized subcommand"),
        (&["token", "show", "x"], "it must be a UUID"),
        (&["token", "create", ""], "must have a visible character"),
        (
            &["token", "create", "n", "--permission", "AlertRed"],
            "did you mean \"AlertRead\"?",
        ),
        (&["token", "create", "n", "--cidr", "8.8.8.8"], "write \"8.8.8.8/32\""),
        (
            &["token", "create", "n", "--expires-at", "2001-01-01T00:00:00Z"],
            "has passed",
        ),
        (
            &["token", "list", "--state", "gone"],
            "active, expired, never-used, legacy",
        ),
        (
            &[
                "token",
                "rotate",
                "d0ea6653-05e2-4d51-9d89-665cdfe86be6",
                "--grace-period-seconds",
                "604801",
            ],
            "604800",
        ),
        (&["admin", "add", "a:b", "--password-stdin"], "colon"),
        (&["token", "delete"], "required"),
        (
            &[
                "token",
                "delete",
                "d0ea6653-05e2-4d51-9d89-665cdfe86be6",
                "--state",
                "legacy",
            ],
            "cannot be used with",
        ),
        (&["token", "delete", "--expected", "3"], "name at least one"),
        (&["token", "delete", "--state", "legacy"], "0 tokens match"),
        (
            &["audit", "--action", "token.delete"],
            "did you mean \"token.deleted\"?",
        ),
        (&["audit", "--door", "api-token"], "did you mean \"api-tokens\"?"),
        (&["audit", "--limit", "0"], "a number from 1 on nor all"),
        (&["audit", "--since", "today"], "RFC 3339"),
        (
            &["audit", "--follow", "--until", "2030-01-01T00:00:00Z"],
            "cannot be used with",
        ),
        (&["serve", "--audit-retention-days", "0"], "audit-retention-days"),
        (
            &["serve", "--legacy-sunset", "2026-01-01"],
            "earlier than the deprecation",
        ),
        (&["serve", "--base-path", "bamboo"], "like /bamboo"),
        (&["serve", "--listen", "nowhere"], "127.0.0.1:8086"),
        (&["serve", "--trusted-proxy", "10.0.0.0/99"], "CIDR block"),
        (&["serve", "--tls-cert", "x"], "--tls-key"),
        (&["serve", "--legacy", "maybe"], "read-only"),
    ] {
        let ended = program.run(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {ended:?}");
        assert!(ended.err.contains(told), "{arguments:?}: {ended:?}");
    }
    for (arguments, told) in [
        (
            &["token", "show", "d0ea6653-05e2-4d51-9d89-665cdfe86be6"][..],
            "there is no such token",
        ),
        (
            &["serve", "--tls-cert", "/nowhere", "--tls-key", "/nowhere"],
            "cannot serve HTTPS",
        ),
        (&["admin", "add", "ops"], "--password-stdin or --password-file"),
    ] {
        let ended = program.run(arguments);
        assert_eq!(
            (ended.code, ended.err.lines().count()),
            (1, 1),
            "{arguments:?}: {ended:?}"
        );
        assert!(ended.err.contains(told), "{arguments:?}: {ended:?}");
    }
    let serving = program.serve(&[]);
    let taken = serving.client.address.to_string();
    let ended = program.run(&["serve", "--listen", &taken]);
    assert!(ended.code == 1 && ended.err.contains("cannot listen on"), "{ended:?}");
}

fn health_is_checked(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    let serving = program.serve(&["--base-path", "/bamboo"]);
    let address = serving.client.address.to_string();
    assert_eq!(
        program
            .run(&["healthcheck", "--listen", &address, "--base-path", "/bamboo"])
            .code,
        0
    );
    let wrong = program.run(&["healthcheck", "--listen", &address]);
    assert!(wrong.code == 1 && wrong.err.contains("404"), "{wrong:?}");
    drop(serving);
    let gone = program.run(&["healthcheck", "--listen", &address]);
    assert_eq!(
        (gone.code, gone.err),
        (1, format!("tokenbridge: the server at {address} does not listen\n"))
    );
}

/// All commands with flags.
const COMMANDS: [&[&str]; 19] = [
    &["serve"],
    &["admin", "add"],
    &["admin", "passwd"],
    &["admin", "remove"],
    &["admin", "list"],
    &["token", "create"],
    &["token", "list"],
    &["token", "show"],
    &["token", "rotate"],
    &["token", "delete"],
    &["audit"],
    &["migrate"],
    &["backup"],
    &["restore"],
    &["check"],
    &["healthcheck"],
    &["legacy-usage"],
    &["import"],
    &["export"],
];

/// Checks that every flag of every command has a matching variable and a description.
fn help_is_complete(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    for command in COMMANDS {
        let help = program.run(&[command, &["--help"]].concat()).out;
        let mut flags = 0;
        for block in help.split("\n\n").flat_map(|block| block.split("      --").skip(1)) {
            let flag = block.split([' ', '\n']).next().unwrap();
            if ["help", "version"].contains(&flag) {
                continue;
            }
            let variable = format!("[env: TOKENBRIDGE_{}", flag.to_uppercase().replace('-', "_"));
            let rest = &help[help.find(&format!("--{flag}")).unwrap()..];
            assert!(rest.contains(&variable), "{command:?} --{flag}: {help}");
            flags += 1;
        }
        assert!(flags > 0, "{help}");
        assert!(!help.contains(&lab.store.url()), "the database URL can hold a password");
    }
    assert!(program.run(&["--help"]).out.contains("TOKENBRIDGE_ADMIN_PASSWORD_FILE"));
}

fn variables_stand_for_flags(lab: &Lab) {
    let variables = [
        ("TOKENBRIDGE_LEGACY", "off"),
        ("TOKENBRIDGE_BASE_PATH", "/bamboo"),
        ("TOKENBRIDGE_TRUSTED_PROXY", "10.0.0.0/8, ::1 "),
    ];
    let serving = Program::new(&lab.store.url()).serve_with(&["--base-path", "/builds"], &variables);
    serving.client.get(LEGACY, As::Admin).expect(410);
    let mut command = Program::new(&lab.store.url()).command(&["admin", "passwd", ADMIN.0]);
    command.env("TOKENBRIDGE_PASSWORD_STDIN", "true");
    assert_eq!(crate::support::program::end(command, "from standard input").code, 0);
    let mut command = Program::new(&lab.store.url()).command(&["admin", "list"]);
    command.env("TOKENBRIDGE_OUTPUT", "json");
    assert!(crate::support::program::end(command, "").out.starts_with('['));
}

fn empty_variables_count_as_unset(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    let mut variables: Vec<String> = ["USERNAME", "PASSWORD", "PASSWORD_FILE"]
        .map(|name| format!("TOKENBRIDGE_ADMIN_{name}"))
        .to_vec();
    for command in COMMANDS {
        let help = program.run(&[command, &["--help"]].concat()).out;
        let named = help.split("[env: ").skip(1).filter_map(|rest| rest.split('=').next());
        variables.extend(named.map(str::to_owned));
    }
    variables.sort();
    variables.dedup();
    assert!(variables.len() > 40, "{variables:?}");
    let empty: Vec<(&str, &str)> = variables.iter().map(|name| (name.as_str(), "")).collect();
    let url = lab.store.url();
    let id = lab.app().new_legacy_token(&json!({ "name": "n" }));
    let file = lab.store.directory.path().join("import.json");
    std::fs::write(&file, "[]").unwrap();
    for (arguments, input) in [
        (&["admin", "add", "ops", "--password-stdin"][..], "correct horse"),
        (&["admin", "passwd", "ops", "--password-stdin"], "correct horse battery"),
        (&["admin", "list"], ""),
        (&["admin", "remove", "ops"], ""),
        (&["token", "create", "n"], ""),
        (&["token", "list"], ""),
        (&["token", "show", &id], ""),
        (&["token", "rotate", &id], ""),
        (&["token", "delete", &id], ""),
        (&["import", file.to_str().unwrap()], ""),
        (&["export"], ""),
        (&["audit"], ""),
        (&["legacy-usage"], ""),
        (&["migrate"], ""),
    ] {
        let mut command = program.command(arguments);
        command.args(["--database-url", &url]).envs(empty.iter().copied());
        let ended = crate::support::program::end(command, input);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
    }
    // The same applies to a first start, where the admin has the default name.
    let serving = program.serve_with(&["--database-url", &lab.store.fresh_url()], &empty);
    eventually("the password is printed", || {
        serving
            .log()
            .contains("Made \"admin\" with this password")
            .then_some(())
    });
    let address = serving.client.address.to_string();
    let mut command = program.command(&["healthcheck", "--listen", &address]);
    command.envs(empty.iter().copied());
    assert_eq!(crate::support::program::end(command, "").code, 0);
}

fn an_ignored_admin_password_is_logged(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    let told = |variables: &[(&str, &str)]| {
        let serving = program.serve_with(&[], variables);
        serving.signal("TERM");
        let (_, log) = serving.wait();
        assert!(!log.contains("secret"), "{log}");
        let ignored = log
            .lines()
            .filter_map(|line| line.split_once(" is ignored: there is an admin already"));
        ignored
            .map(|(before, _)| before.rsplit(' ').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (password, file) = ("TOKENBRIDGE_ADMIN_PASSWORD", "TOKENBRIDGE_ADMIN_PASSWORD_FILE");
    assert_eq!(told(&[(password, "secret")]), [password]);
    assert_eq!(told(&[(file, "/nowhere/secret")]), [file]);
    assert_eq!(told(&[(password, ""), (file, "")]), [""; 0]);
}

/// HTTPS with a certificate of our own, as a client sees it that trusts that certificate alone.
fn https_is_served(lab: &Lab) {
    let certificate = Certificate::write(lab.store.directory.path());
    let (chain, key) = (
        certificate.chain.display().to_string(),
        certificate.key.display().to_string(),
    );
    let program = Program::new(&lab.store.url());
    let flags = ["--tls-cert", &chain, "--tls-key", &key];
    let serving = program.serve(&flags);
    let address = serving.client.address.to_string();
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_ca_file(&chain).unwrap();
    let connector = connector.build();
    let mut stream = connector.connect("localhost", serving.client.connect()).unwrap();
    let request = format!(
        "GET {LEGACY} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\nConnection: close\r\n\r\n",
        basic(ADMIN.0, ADMIN.1)
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("[]"),
        "{answer}"
    );
    assert!(connector.connect("elsewhere", serving.client.connect()).is_err());
    assert_eq!(
        program
            .run(&[&["healthcheck", "--listen", &address], &flags[..]].concat())
            .code,
        0
    );
    assert_eq!(program.run(&["healthcheck", "--listen", &address]).code, 1);
}

fn completions_are_printed(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    for shell in ["bash", "zsh", "fish"] {
        let ended = program.run(&["completions", shell]);
        assert!(ended.code == 0 && ended.out.contains("tokenbridge"), "{shell}");
    }
}
