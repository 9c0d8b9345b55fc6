//! The commands, run as separate processes.

pub mod settings;

use std::io::{Read, Write};

use openssl::ssl::{SslConnector, SslMethod};
use serde_json::{Value, json};

use crate::{
    support::{
        ADMIN, TestEnv,
        certificate::Certificate,
        client::{Auth, LEGACY, TOKENS, basic, string},
        program::Program,
        wait_until,
    },
    tests,
};

tests![
    admins_are_added_changed_and_removed,
    tokens_are_managed_beside_a_running_server,
    usage_errors_exit_with_2,
    the_health_command_checks_the_server,
    help_is_complete,
    https_is_served,
    completions_are_printed,
    the_version_names_the_commit_and_the_bundled_libraries,
    man_pages_are_written,
];

fn admins_are_added_changed_and_removed(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let file = env.store.directory.path().join("password");
    std::fs::write(&file, "from a file\nsecond line").unwrap();
    let added = program.run(&["admin", "add", "ops", "--password-file", file.to_str().unwrap()]);
    assert_eq!(
        (added.exit_code, added.stdout.as_str()),
        (0, "added admin ops\n"),
        "{added:?}"
    );
    let again = program.run_with_input(&["admin", "add", "ops", "--password-stdin"], "x");
    assert_eq!(
        (again.exit_code, again.stderr.as_str()),
        (1, "tokenbridge: there is already an admin named \"ops\"\n")
    );
    let app = env.app();
    app.get(LEGACY, Auth::Basic("ops", "from a file")).expect(200);
    assert_eq!(
        program
            .run_with_input(&["admin", "passwd", "ops", "--password-stdin"], "piped\n")
            .exit_code,
        0
    );
    app.get(LEGACY, Auth::Basic("ops", "piped")).expect(200);
    let listed: Value = serde_json::from_str(&program.run(&["admin", "list", "--output", "json"]).stdout).unwrap();
    assert_eq!(
        (&listed[0]["name"], &listed[1]["name"]),
        (&json!("admin"), &json!("ops"))
    );
    assert!(listed[1]["passwordChangedAt"].is_string() && listed[0]["passwordChangedAt"].is_null());
    assert!(
        program
            .run(&["admin", "list"])
            .stdout
            .starts_with("NAME   ROLE   ADDED")
    );
    assert_eq!(program.run(&["admin", "remove", "ops"]).exit_code, 0);
    assert_eq!(
        program.run(&["admin", "remove", "ops"]).stderr,
        "tokenbridge: there is no such admin\n"
    );
    let last = program.run(&["admin", "remove", ADMIN.0]);
    assert_eq!(
        (last.exit_code, last.stderr.contains("the last admin")),
        (1, true),
        "{last:?}"
    );
    app.get(LEGACY, Auth::Admin).expect(200);
}

fn tokens_are_managed_beside_a_running_server(env: &TestEnv) {
    let app = env.app();
    let program = Program::new(&env.store.url());
    let json_of = |arguments: &[&str]| -> Value {
        let output = program.run(&[arguments, &["--output", "json"]].concat());
        assert_eq!(output.exit_code, 0, "{output:?}");
        serde_json::from_str(&output.stdout).unwrap()
    };
    assert_eq!(json_of(&["token", "list"]), json!([]));
    let far = "2999-01-01T00:00:00Z";
    let created = json_of(&[
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
        (&created["permissions"], &created["allowedCIDRBlocks"]),
        (&json!(["AlertRead", "UserRead"]), &json!(["127.0.0.0/8"]))
    );
    assert_eq!(
        (&created["expiresAt"], &created["createdBy"]),
        (&json!(far), &json!({ "id": "cli", "type": "system" }))
    );
    let (id, value) = (string(&created["id"]), string(&created["value"]));
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    let rotated = json_of(&["token", "rotate", &id, "--grace-period-seconds", "0"]);
    wait_until("the server knows the change", || {
        (app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).status == 401).then_some(())
    });
    app.get(&format!("{TOKENS}/self"), Auth::Key(&string(&rotated["value"])))
        .expect(200);
    let uuid = app.new_legacy_token(&json!({ "name": "old" }));
    assert_eq!(json_of(&["token", "list", "--state", "legacy"])[0]["id"], uuid);
    assert_eq!(json_of(&["token", "list"]).as_array().unwrap().len(), 2);
    let shown = json_of(&["token", "show", &id]);
    assert_eq!((&shown["name"], shown.get("value")), (&json!("by hand"), None));
    let table = program.run(&["token", "list"]);
    assert!(
        table.stdout.starts_with("ID ") && table.stdout.contains("by hand"),
        "{table:?}"
    );
    assert_eq!(program.run(&["token", "delete", &id]).exit_code, 0);
    assert_eq!(
        program.run(&["token", "delete", &id]).stderr,
        "tokenbridge: there is no such token\n"
    );
    app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(404);
}

fn usage_errors_exit_with_2(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    for (arguments, expected) in [
        (&["frob"][..], "unrecognized subcommand"),
        (&["token", "show", "x"], "must be a UUID"),
        (&["token", "create", ""], "must contain a visible character"),
        (
            &["token", "create", "n", "--permission", "AlertRed"],
            "did you mean \"AlertRead\"?",
        ),
        (&["token", "create", "n", "--cidr", "8.8.8.8"], "use \"8.8.8.8/32\""),
        (
            &["token", "create", "n", "--expires-at", "2001-01-01T00:00:00Z"],
            "is in the past",
        ),
        (&["token", "list", "--state", "gone"], "expired, never-used, legacy"),
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
        (&["token", "delete", "--expected", "3"], "set at least one"),
        (&["token", "delete", "--state", "legacy"], "0 tokens match"),
        (
            &["audit", "--action", "token.delete"],
            "did you mean \"token.deleted\"?",
        ),
        (&["audit", "--channel", "api-token"], "did you mean \"api-tokens\"?"),
        (&["audit", "--limit", "0"], "a number of at least 1, or all"),
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
        (&["serve", "--base-path", "bamboo"], "such as /bamboo"),
        (&["serve", "--listen", "nowhere"], "127.0.0.1:8086"),
        (&["serve", "--trusted-proxy", "10.0.0.0/99"], "CIDR block"),
        (&["serve", "--tls-cert", "x"], "--tls-key"),
        (&["serve", "--legacy", "maybe"], "read-only"),
    ] {
        let output = program.run(arguments);
        assert_eq!(output.exit_code, 2, "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(expected), "{arguments:?}: {output:?}");
    }
    for (arguments, expected) in [
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
        let output = program.run(arguments);
        assert_eq!(
            (output.exit_code, output.stderr.lines().count()),
            (1, 1),
            "{arguments:?}: {output:?}"
        );
        assert!(output.stderr.contains(expected), "{arguments:?}: {output:?}");
    }
    let server = program.serve(&[]);
    let taken = server.client.address.to_string();
    let output = program.run(&["serve", "--listen", &taken]);
    assert!(
        output.exit_code == 1 && output.stderr.contains("cannot listen on"),
        "{output:?}"
    );
}

fn the_health_command_checks_the_server(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let server = program.serve(&["--base-path", "/bamboo"]);
    let address = server.client.address.to_string();
    assert_eq!(
        program
            .run(&["healthcheck", "--listen", &address, "--base-path", "/bamboo"])
            .exit_code,
        0
    );
    let wrong = program.run(&["healthcheck", "--listen", &address]);
    assert!(wrong.exit_code == 1 && wrong.stderr.contains("404"), "{wrong:?}");
    drop(server);
    let gone = program.run(&["healthcheck", "--listen", &address]);
    assert_eq!(
        (gone.exit_code, gone.stderr),
        (
            1,
            format!("tokenbridge: the server at {address} does not accept connections\n")
        )
    );
}

/// All commands with flags.
const COMMANDS: [&[&str]; 20] = [
    &["serve"],
    &["admin", "add"],
    &["admin", "passwd"],
    &["admin", "role"],
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
fn help_is_complete(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    for command in COMMANDS {
        let help = program.run(&[command, &["--help"]].concat()).stdout;
        let mut flags = 0;
        for block in help.split("\n\n").flat_map(|block| block.split("      --").skip(1)) {
            let flag = block.split([' ', '[', '\n']).next().unwrap();
            if ["help", "version"].contains(&flag) {
                continue;
            }
            let variable = format!("[env: TOKENBRIDGE_{}", flag.to_uppercase().replace('-', "_"));
            let rest = &help[help.find(&format!("--{flag}")).unwrap()..];
            assert!(rest.contains(&variable), "{command:?} --{flag}: {help}");
            flags += 1;
        }
        assert!(flags > 0, "{help}");
        assert!(!help.contains(&env.store.url()), "the database URL can hold a password");
    }
    assert!(
        program
            .run(&["--help"])
            .stdout
            .contains("TOKENBRIDGE_ADMIN_PASSWORD_FILE")
    );
}

/// Serves HTTPS with a test certificate, for a client that trusts only that certificate.
fn https_is_served(env: &TestEnv) {
    let certificate = Certificate::write(env.store.directory.path());
    let (chain, key) = (
        certificate.chain.display().to_string(),
        certificate.key.display().to_string(),
    );
    let program = Program::new(&env.store.url());
    let flags = ["--tls-cert", &chain, "--tls-key", &key];
    let server = program.serve(&flags);
    let address = server.client.address.to_string();
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_ca_file(&chain).unwrap();
    let connector = connector.build();
    let mut stream = connector.connect("localhost", server.client.connect()).unwrap();
    let request = format!(
        "GET {LEGACY} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\nConnection: close\r\n\r\n",
        basic(ADMIN.0, ADMIN.1)
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(
        response.starts_with("HTTP/1.1 200 ") && response.ends_with("[]"),
        "{response}"
    );
    assert!(connector.connect("elsewhere", server.client.connect()).is_err());
    assert_eq!(
        program
            .run(&[&["healthcheck", "--listen", &address], &flags[..]].concat())
            .exit_code,
        0
    );
    assert_eq!(program.run(&["healthcheck", "--listen", &address]).exit_code, 1);
}

fn completions_are_printed(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    for shell in ["bash", "zsh", "fish"] {
        let output = program.run(&["completions", shell]);
        assert!(
            output.exit_code == 0 && output.stdout.contains("tokenbridge"),
            "{shell}"
        );
    }
}

fn the_version_names_the_commit_and_the_bundled_libraries(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(program.run(&["-V"]).stdout, format!("tokenbridge {version}\n"));
    let long = program.run(&["--version"]).stdout;
    let (first, rest) = long.split_once('\n').unwrap();
    assert_eq!(first, format!("tokenbridge {version}"));
    let lines: Vec<(&str, &str)> = rest.lines().filter_map(|line| line.split_once(": ")).collect();
    let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["commit", "SQLite", "libpq", "OpenSSL"], "{long}");
    for (name, version) in lines.iter().skip(1) {
        let numbers = version.split(' ').next().unwrap().split('.');
        let numbers: Vec<Result<u32, _>> = numbers.map(str::parse).collect();
        assert!(
            numbers.len() >= 2 && numbers.iter().all(Result::is_ok),
            "{name}: {version}"
        );
    }
}

fn man_pages_are_written(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let printed = program.run(&["man"]);
    assert!(printed.stdout.contains("TOKENBRIDGE_LISTEN"), "{printed:?}");
    let folder = env.store.directory.path().join("man");
    std::fs::create_dir(&folder).unwrap();
    let written = program.run(&["man", folder.to_str().unwrap()]);
    assert_eq!(written.exit_code, 0, "{written:?}");
    for command in COMMANDS {
        let page = std::fs::read_to_string(folder.join(format!("tokenbridge-{}.1", command.join("-")))).unwrap();
        assert!(page.contains("TOKENBRIDGE_OUTPUT"), "{page}");
        assert!(!page.contains(&env.store.url()), "the database URL can hold a password");
    }
    assert_eq!(
        std::fs::read_to_string(folder.join("tokenbridge.1")).unwrap(),
        printed.stdout
    );
    let refused = program.run(&["man", "/nowhere"]);
    assert!(refused.stderr.contains("/nowhere"), "{refused:?}");
}
