//! Flags and environment variables.

use serde_json::json;

use super::COMMANDS;
use crate::{
    support::{
        ADMIN, TestEnv,
        client::{Auth, LEGACY},
        program::Program,
        wait_until,
    },
    tests,
};

tests![
    boolean_flags_take_a_value_after_an_equals_sign,
    environment_variables_set_flags,
    empty_variables_count_as_unset,
    an_ignored_admin_password_is_logged,
    database_urls_come_from_files,
    an_empty_password_file_counts_as_unset,
];

fn boolean_flags_take_a_value_after_an_equals_sign(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    for value in ["true", "false", "1", "no"] {
        let healthcheck = program.run(&["healthcheck", &format!("--legacy-uuid-auth={value}")]);
        assert_eq!(healthcheck.exit_code, 1, "no server is running: {healthcheck:?}");
    }
    for arguments in [
        &["--legacy-uuid-auth", "true"][..],
        &["serve", "--legacy-uuid-auth", "true", "--workers", "1"],
        &["audit", "--follow", "true"],
    ] {
        let refused = program.run(arguments);
        let flag = arguments.iter().find(|word| word.starts_with("--")).unwrap();
        assert_eq!(refused.exit_code, 2, "{refused:?}");
        assert!(
            refused.stderr.contains(&format!("write {flag}=true")),
            "{arguments:?}: {refused:?}"
        );
    }
    let refused = program.run(&["audit", "--follow=maybe"]);
    assert_eq!(refused.exit_code, 2, "{refused:?}");
    assert!(refused.stderr.contains("TOKENBRIDGE_FOLLOW"), "{refused:?}");
}

fn environment_variables_set_flags(env: &TestEnv) {
    let variables = [
        ("TOKENBRIDGE_LEGACY", "off"),
        ("TOKENBRIDGE_BASE_PATH", "/bamboo"),
        ("TOKENBRIDGE_TRUSTED_PROXY", "10.0.0.0/8, ::1 "),
    ];
    let server = Program::new(&env.store.url()).serve_with(&["--base-path", "/builds"], &variables);
    server.client.get(LEGACY, Auth::Admin).expect(410);
    let mut command = Program::new(&env.store.url()).command(&["admin", "passwd", ADMIN.0]);
    command.env("TOKENBRIDGE_PASSWORD_STDIN", "true");
    assert_eq!(
        crate::support::program::run_command(command, "from standard input").exit_code,
        0
    );
    let mut command = Program::new(&env.store.url()).command(&["admin", "list"]);
    command.env("TOKENBRIDGE_OUTPUT", "json");
    assert!(
        crate::support::program::run_command(command, "")
            .stdout
            .starts_with('[')
    );
}

fn empty_variables_count_as_unset(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let mut variables: Vec<String> = ["USERNAME", "PASSWORD", "PASSWORD_FILE"]
        .map(|name| format!("TOKENBRIDGE_ADMIN_{name}"))
        .to_vec();
    for command in COMMANDS {
        let help = program.run(&[command, &["--help"]].concat()).stdout;
        let named = help.split("[env: ").skip(1).filter_map(|rest| rest.split('=').next());
        variables.extend(named.map(str::to_owned));
    }
    variables.sort();
    variables.dedup();
    assert!(variables.len() > 40, "{variables:?}");
    let empty: Vec<(&str, &str)> = variables.iter().map(|name| (name.as_str(), "")).collect();
    let url = env.store.url();
    let id = env.app().new_legacy_token(&json!({ "name": "n" }));
    let file = env.store.directory.path().join("import.json");
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
        let output = crate::support::program::run_command(command, input);
        assert_eq!(output.exit_code, 0, "{arguments:?}: {output:?}");
    }
    // The same applies to a first start, where the admin has the default name.
    let server = program.serve_with(&["--database-url", &env.store.fresh_url()], &empty);
    wait_until("the password is printed", || {
        server
            .log()
            .contains("Created the first admin, \"admin\", with this password")
            .then_some(())
    });
    let address = server.client.address.to_string();
    let mut command = program.command(&["healthcheck", "--listen", &address]);
    command.envs(empty.iter().copied());
    assert_eq!(crate::support::program::run_command(command, "").exit_code, 0);
}

fn an_ignored_admin_password_is_logged(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let ignored = |variables: &[(&str, &str)]| {
        let server = program.serve_with(&[], variables);
        server.signal("TERM");
        let (_, log) = server.wait();
        assert!(!log.contains("secret"), "{log}");
        let ignored = log
            .lines()
            .filter_map(|line| line.split_once(" is ignored because an admin already exists"));
        ignored
            .map(|(before, _)| before.rsplit(' ').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (password, file) = ("TOKENBRIDGE_ADMIN_PASSWORD", "TOKENBRIDGE_ADMIN_PASSWORD_FILE");
    assert_eq!(ignored(&[(password, "secret")]), [password]);
    assert_eq!(ignored(&[(file, "/nowhere/secret")]), [file]);
    assert_eq!(ignored(&[(password, ""), (file, "")]), [""; 0]);
}

fn database_urls_come_from_files(env: &TestEnv) {
    const VARIABLE: &str = "TOKENBRIDGE_DATABASE_URL_FILE";
    let program = Program::new("");
    let file = env.store.directory.path().join("url");
    let path = file.to_str().unwrap();
    let list = |content: &str, arguments: &[&str], variables: &[(&str, &str)]| {
        std::fs::write(&file, content).unwrap();
        let mut command = program.command(&[&["admin", "list"], arguments].concat());
        command
            .current_dir(env.store.directory.path())
            .env(VARIABLE, path)
            .envs(variables.iter().copied());
        crate::support::program::run_command(command, "")
    };
    let (url, other) = (env.store.url(), "sqlite:/nowhere/other.db");
    let listed = list(&format!("{url}\nsecond line"), &[], &[]);
    assert!(listed.exit_code == 0 && listed.stdout.contains(ADMIN.0), "{listed:?}");
    // The flag and the variable take precedence.
    for refused in [
        list(&url, &["--database-url", other], &[]),
        list(&url, &[], &[("TOKENBRIDGE_DATABASE_URL", other)]),
    ] {
        assert!(
            refused.exit_code == 1 && refused.stderr.contains("/nowhere/other.db"),
            "{refused:?}"
        );
    }
    let unset = list("\n", &["--database-url", &url], &[]);
    assert_eq!(unset.exit_code, 0, "{unset:?}");
    let invalid = list("mysql://user:secret@host/database", &[], &[]);
    assert!(
        invalid.exit_code == 2 && invalid.stderr.contains(&format!("{VARIABLE}: {path}: ")),
        "{invalid:?}"
    );
    assert!(!invalid.stderr.contains("secret"), "{invalid:?}");
    std::fs::remove_file(&file).unwrap();
    let mut command = program.command(&["admin", "list"]);
    command.env(VARIABLE, path);
    let missing = crate::support::program::run_command(command, "");
    assert!(
        missing.exit_code == 2 && missing.stderr.contains(&format!("{VARIABLE}: {path}: ")),
        "{missing:?}"
    );
    // The URL is not shown as the default.
    std::fs::write(&file, &url).unwrap();
    let mut command = program.command(&["--help"]);
    command.env(VARIABLE, path);
    let help = crate::support::program::run_command(command, "");
    assert!(help.exit_code == 0 && !help.stdout.contains(&url), "{help:?}");
}

fn an_empty_password_file_counts_as_unset(env: &TestEnv) {
    let file = env.store.directory.path().join("empty");
    std::fs::write(&file, "\n").unwrap();
    let server = Program::new(&env.store.fresh_url())
        .serve_with(&[], &[("TOKENBRIDGE_ADMIN_PASSWORD_FILE", file.to_str().unwrap())]);
    wait_until("the password is printed", || {
        server.log().contains("with this password").then_some(())
    });
}
