//! Sources that are invalid, unreachable, or slow.

use super::{assert_output, import, import_text, list};
use crate::{
    support::{
        TestEnv,
        bamboo::{Behavior, FakeBamboo, Fault},
        certificate::Certificate,
        program::Program,
    },
    tests,
};

tests![invalid_sources_are_reported];

tests![
    SQLITE_TESTS:
    transient_errors_are_retried,
    server_errors_are_reported,
    certificates_are_checked,
    progress_is_shown_only_on_terminals,
];

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
