//! Legacy servers that respond unexpectedly, are not trusted, or never respond.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use super::{NEWER, OLDER, OPS, admins, app, assert_outcomes, auth};
use crate::{
    support::{
        TestEnv,
        bamboo::{Behavior, FakeBamboo, Fault},
        certificate::Certificate,
        client::{Auth, LEGACY, TOKENS, basic},
        program::Program,
    },
    tests,
};

tests![
    the_list_is_looked_up_at_both_prefixes,
    every_other_response_is_a_refused_login
];

tests![
    SQLITE_TESTS:
    legacy_login_certificates_are_checked,
    legacy_login_passwords_are_not_logged,
    a_legacy_server_that_never_responds_is_a_refused_login,
];

fn the_list_is_looked_up_at_both_prefixes(env: &TestEnv) {
    let lists: [&[&str]; 2] = [&[OLDER], &[]];
    for (lists, status) in lists.into_iter().zip([200, 401]) {
        let bamboo = FakeBamboo::start(Behavior {
            context: "/builds",
            lists,
            users: &[OPS, ("other", "x")],
            ..Behavior::default()
        });
        let app = env.app_with(&["--legacy-login", &format!("http://{}/builds/", bamboo.address)]);
        let login = if status == 200 { OPS } else { ("other", "x") };
        app.get(TOKENS, auth(login)).expect(status);
        let expected = [NEWER, OLDER].map(|path| format!("/builds{path}"));
        assert_eq!(bamboo.requested_paths(), expected);
    }
}

fn every_other_response_is_a_refused_login(env: &TestEnv) {
    let json = "Content-Type: application/json\r\n";
    let html = "Content-Type: text/html\r\n";
    let faults = vec![
        Fault::Response("401 Unauthorized", "", ""),
        Fault::Response(
            "403 Forbidden",
            "X-Authentication-Denied-Reason: CAPTCHA_CHALLENGE\r\n",
            "",
        ),
        Fault::Response("200 OK", html, "<html>please log in</html>"),
        Fault::Response("200 OK", json, "{}"),
        Fault::Response("200 OK", json, "[{}"),
        Fault::Response("200 OK", json, "[] []"),
        Fault::Response("200 OK", json, ""),
        Fault::Response("201 Created", json, "[]"),
        Fault::Response("302 Found", "Location: /elsewhere\r\n", ""),
        Fault::Response("307 Temporary Redirect", "Location: /elsewhere\r\n", ""),
        Fault::Response("429 Too Many Requests", "Retry-After: 1\r\n", ""),
        Fault::Response("500 Internal Server Error", html, "[]"),
        Fault::Response("503 Service Unavailable", "", ""),
        Fault::Reset,
        Fault::Sleep,
    ];
    let count = faults.len();
    let bamboo = FakeBamboo::start(Behavior {
        first: faults,
        users: &[OPS],
        ..Behavior::default()
    });
    let app = app(env, &bamboo);
    for n in 0..count {
        let name = format!("user {n}");
        let refused = app.get(LEGACY, Auth::Basic(&name, OPS.1)).expect(401);
        assert_eq!(refused.message(), "the user name or password is wrong");
    }
    assert_eq!(bamboo.requested_paths(), vec![NEWER; count]);
    assert_eq!(admins(env).len(), 1);
    assert_outcomes(&app, [("accepted", 0), ("refused", 2), ("failed", 13)]);
    app.get(LEGACY, auth(OPS)).expect(200);
    // The legacy server is down.
    drop(bamboo);
    app.get(LEGACY, Auth::Basic("late", OPS.1)).expect(401);
    app.get(LEGACY, auth(OPS)).expect(200);
}

fn legacy_login_certificates_are_checked(env: &TestEnv) {
    let certificate = Certificate::write(env.store.directory.path());
    let behavior = Behavior {
        users: &[OPS],
        ..Behavior::default()
    };
    let bamboo = FakeBamboo::start_with_tls(behavior, certificate.acceptor());
    let url = format!("https://localhost:{}", bamboo.address.port());
    let file = certificate.chain.to_str().unwrap();
    for (flags, status) in [
        (&[][..], 401),
        (&["--legacy-login-ca-file", file], 200),
        (&["--legacy-login-insecure"], 200),
    ] {
        let app = env.app_with(&[&["--legacy-login", &url], flags].concat());
        app.get(LEGACY, auth(OPS)).expect(status);
        if status == 200 {
            env.store.execute("DELETE FROM admins WHERE name = 'ops'");
        }
    }
    let flags = ["serve", "--legacy-login", &url, "--legacy-login-ca-file", "/nowhere"];
    let output = Program::new(&env.store.url()).run(&flags);
    assert_eq!(output.exit_code, 2, "{output:?}");
    let flag = "--legacy-login-ca-file (TOKENBRIDGE_LEGACY_LOGIN_CA_FILE): cannot read /nowhere";
    assert!(output.stderr.contains(flag), "{output:?}");
    let output = Program::new(&env.store.url()).run(&["serve", "--legacy-login", "http://admin:secret@bamboo"]);
    assert_eq!(output.exit_code, 2, "{output:?}");
    assert!(!output.stderr.contains("secret"), "{output:?}");
    assert!(output.stderr.contains("TOKENBRIDGE_LEGACY_LOGIN"), "{output:?}");
}

fn legacy_login_passwords_are_not_logged(env: &TestEnv) {
    let bamboo = FakeBamboo::start(Behavior {
        first: vec![Fault::Response("500 Internal Server Error", "", "")],
        users: &[OPS],
        ..Behavior::default()
    });
    let url = format!("http://{}", bamboo.address);
    let program = Program::new(&env.store.url());
    let server = program.serve_with(&["--legacy-login", &url], &[("RUST_LOG", "trace")]);
    let wrong = "a wrong pass-word";
    server.client.get(LEGACY, Auth::Basic("stranger", wrong)).expect(401);
    server.client.get(LEGACY, auth(OPS)).expect(200);
    server.signal("TERM");
    let (_, log) = server.wait();
    assert!(log.contains("a login cannot be verified at the legacy server"), "{log}");
    for (name, password) in [("stranger", wrong), OPS] {
        let header = basic(name, password);
        for secret in [password, header.strip_prefix("Basic ").unwrap()] {
            assert!(!log.contains(secret), "{secret}");
        }
    }
    assert!(!log.contains("stranger"));
}

fn a_legacy_server_that_never_responds_is_a_refused_login(env: &TestEnv) {
    // Connections wait in the backlog, so only the timeout of the attempt ends it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = env.app_with(&["--legacy-login", &url]);
    let began = Instant::now();
    app.get(LEGACY, auth(OPS)).expect(401);
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
    app.get(LEGACY, auth(OPS)).expect(401);
    assert_outcomes(&app, [("accepted", 0), ("refused", 0), ("failed", 1)]);
}
