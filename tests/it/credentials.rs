//! Names and passwords, values, addresses.

use std::{io::Write, time::Duration};

use serde_json::json;

use crate::{
    support::{
        ADMIN, TestEnv,
        client::{Auth, LEGACY, TOKENS, basic},
        program::Program,
    },
    tests,
};

tests![
    names_and_passwords_are_utf_8,
    a_changed_password_is_invalidated_immediately,
    a_removed_admin_loses_access_immediately,
    password_guessing_is_throttled,
    failures_of_others_do_not_lock_out_an_admin,
    invalid_values_are_indistinguishable,
    each_scheme_has_its_challenge,
    repeated_credentials_must_be_identical,
    a_value_works_only_from_its_networks,
    a_client_without_an_address_is_rejected,
    only_trusted_proxies_set_the_client_address,
    no_secret_is_stored,
    the_first_start_creates_an_admin,
];

fn self_path() -> String {
    format!("{TOKENS}/self")
}

fn names_and_passwords_are_utf_8(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let (name, password) = ("Jürgen", "pässwörd: mit Doppelpunkt 🔑");
    assert_eq!(
        program
            .run_with_input(&["admin", "add", name, "--password-stdin"], password)
            .exit_code,
        0
    );
    let app = env.app();
    app.get(LEGACY, Auth::Basic(name, password)).expect(200);
    // The second login is a cache hit; a wrong password is still refused.
    app.get(LEGACY, Auth::Basic(name, password)).expect(200);
    app.get(LEGACY, Auth::Basic(name, "pässwörd")).expect(401);
    let lower = basic(name, password).replacen("Basic", "bAsIc", 1);
    app.send("GET", LEGACY, Auth::Anonymous, &[("authorization", &lower)], "")
        .expect(200);
    for broken in ["Basic", "Basic %%%", "Basic YQ==", "Basic /zo=", "Digest x"] {
        app.send("GET", LEGACY, Auth::Anonymous, &[("authorization", broken)], "")
            .expect(401);
    }
}

fn a_changed_password_is_invalidated_immediately(env: &TestEnv) {
    let app = env.app();
    app.get(LEGACY, Auth::Admin).expect(200);
    let changed = Program::new(&env.store.url())
        .run_with_input(&["admin", "passwd", ADMIN.0, "--password-stdin"], "another one\n");
    assert_eq!(changed.exit_code, 0, "{changed:?}");
    app.get(LEGACY, Auth::Admin).expect(401);
    app.get(LEGACY, Auth::Basic(ADMIN.0, "another one")).expect(200);
}

fn a_removed_admin_loses_access_immediately(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let app = env.app();
    assert_eq!(
        program
            .run_with_input(&["admin", "add", "second", "--password-stdin"], "second password")
            .exit_code,
        0
    );
    app.get(LEGACY, Auth::Basic("second", "second password")).expect(200);
    assert_eq!(program.run(&["admin", "remove", "second"]).exit_code, 0);
    app.get(LEGACY, Auth::Basic("second", "second password")).expect(401);
}

const BEHIND_PROXY: &[&str] = &["--trusted-proxy", "127.0.0.1"];

fn from<'a>(address: &'a str, authorization: &'a str) -> [(&'a str, &'a str); 2] {
    [("x-forwarded-for", address), ("authorization", authorization)]
}

fn password_guessing_is_throttled(env: &TestEnv) {
    let app = env.app();
    for n in 0..10 {
        app.get(LEGACY, Auth::Basic(ADMIN.0, &format!("guess {n}"))).expect(401);
    }
    let response = app.get(LEGACY, Auth::Basic(ADMIN.0, "guess")).expect(429);
    assert_eq!(
        (response.header("retry-after"), &response.json()["status-code"]),
        (Some("6"), &json!(429))
    );
    app.get(TOKENS, Auth::Admin).expect(429);
    env.clock.advance(Duration::from_secs(6));
    app.get(LEGACY, Auth::Admin).expect(200);
    // A successful login resets the failures.
    app.get(LEGACY, Auth::Basic(ADMIN.0, "guess")).expect(401);
}

fn failures_of_others_do_not_lock_out_an_admin(env: &TestEnv) {
    let app = env.app_with(BEHIND_PROXY);
    let right = basic(ADMIN.0, ADMIN.1);
    for n in 0..12 {
        let wrong = basic(ADMIN.0, &format!("guess {n}"));
        let status = app
            .send("GET", LEGACY, Auth::Anonymous, &from("192.0.2.1", &wrong), "")
            .status;
        assert_eq!(status, if n < 10 { 401 } else { 429 });
    }
    app.send("GET", LEGACY, Auth::Anonymous, &from("192.0.2.1", &right), "")
        .expect(429);
    app.send("GET", LEGACY, Auth::Anonymous, &from("192.0.2.2", &right), "")
        .expect(200);
    let other_name = basic("other", "guess");
    app.send("GET", LEGACY, Auth::Anonymous, &from("192.0.2.1", &other_name), "")
        .expect(401);
}

fn invalid_values_are_indistinguishable(env: &TestEnv) {
    let app = env.app();
    let (id, deleted) = app.new_token(&json!({ "name": "n" }));
    app.delete(&format!("{TOKENS}/{id}"), Auth::Admin).expect(204);
    let unknown = "tbk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let mut mistyped = deleted.clone();
    mistyped.replace_range(10..11, if &deleted[10..11] == "x" { "y" } else { "x" });
    for value in ["x", unknown, &deleted, &mistyped, &id, &"x".repeat(5000)] {
        for auth in [Auth::Key(value), Auth::Bearer(value)] {
            let response = app.get(&self_path(), auth).expect(401);
            assert_eq!(response.text, r#"{"message":"the API key is not valid"}"#, "{value}");
        }
    }
}

fn each_scheme_has_its_challenge(env: &TestEnv) {
    let app = env.app();
    let basic = Some("Basic realm=\"tokenbridge\", charset=\"UTF-8\"");
    for (path, auth, challenge) in [
        (TOKENS, Auth::Key("x"), Some("ApiKey")),
        (TOKENS, Auth::Bearer("x"), Some("ApiKey")),
        (TOKENS, Auth::Basic("a", "b"), basic),
        (LEGACY, Auth::Anonymous, basic),
        (LEGACY, Auth::Basic("a", "b"), basic),
    ] {
        assert_eq!(
            app.get(path, auth).expect(401).header("www-authenticate"),
            challenge,
            "{path} {auth:?}"
        );
    }
}

fn repeated_credentials_must_be_identical(env: &TestEnv) {
    fn key(value: &str) -> (&str, &str) {
        ("x-api-key", value)
    }
    fn authorization(value: &str) -> (&str, &str) {
        ("authorization", value)
    }
    let app = env.app();
    let permissions = ["OrganizationAPITokenRead", "OrganizationAPITokenModify"];
    let (_, one) = app.new_token(&json!({ "name": "n", "permissions": permissions }));
    let (_, other) = app.new_token(&json!({ "name": "n", "permissions": permissions }));
    let (bearer, other_bearer) = (format!("Bearer {one}"), format!("Bearer {other}"));
    let admin = basic(ADMIN.0, ADMIN.1);
    let cases: [(&[(&str, &str)], u16); 12] = [
        (&[key(&one), key(&other)], 401),
        (&[key(&other), key(&one)], 401),
        (&[key(&one), key(&one), key("x")], 401),
        (&[key(&one), key(&one)], 200),
        (&[key(&one), key("")], 200),
        (&[key(""), key(&one)], 200),
        (&[key(" "), authorization(&bearer)], 200),
        (&[authorization(&bearer), authorization(&bearer)], 200),
        (&[authorization(&bearer), authorization(&other_bearer)], 401),
        (&[authorization(&bearer), authorization(&admin)], 401),
        (&[key("")], 401),
        (&[key(&one), authorization(&other_bearer), authorization(&admin)], 200),
    ];
    for (headers, status) in cases {
        for path in [TOKENS, "/verify"] {
            app.send("GET", path, Auth::Anonymous, headers, "").expect(status);
        }
    }
    app.send("GET", TOKENS, Auth::Anonymous, &[key(""), authorization(&admin)], "")
        .expect(200);
    app.send(
        "GET",
        LEGACY,
        Auth::Anonymous,
        &[authorization(&admin), authorization(&admin)],
        "",
    )
    .expect(200);
    let differing = [authorization(&admin), authorization(&bearer)];
    let refused = app.send("GET", LEGACY, Auth::Anonymous, &differing, "").expect(401);
    assert_eq!(
        refused.message(),
        "the request has different Authorization headers, send only one"
    );
    let refused = app
        .send("GET", TOKENS, Auth::Anonymous, &[key(&one), key(&other)], "")
        .expect(401);
    assert_eq!(
        refused.message(),
        "the request has different X-API-Key headers; send only one"
    );
}

fn a_value_works_only_from_its_networks(env: &TestEnv) {
    let app = env.app_with(BEHIND_PROXY);
    let (_, value) = app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["10.0.0.0/8", "2001:db8::/32"] }));
    for (address, status) in [
        ("10.9.9.9", 200),
        ("::ffff:10.9.9.9", 200),
        ("2001:db8::9", 200),
        ("11.0.0.1", 401),
        ("::ffff:11.0.0.1", 401),
        ("2001:db9::1", 401),
        ("127.0.0.1", 401),
    ] {
        let headers = [("x-forwarded-for", address), ("x-api-key", value.as_str())];
        let response = app
            .send("GET", &self_path(), Auth::Anonymous, &headers, "")
            .expect(status);
        if status == 401 {
            assert_eq!(
                response.message(),
                "the API key may not be used from this address",
                "{address}"
            );
        }
    }
    let (_, local) = app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["127.0.0.1/32"] }));
    app.get(&self_path(), Auth::Key(&local)).expect(200);
}

/// A connection that is reset before the server accepts it has no address, and so is in no network.
fn a_client_without_an_address_is_rejected(env: &TestEnv) {
    let app = env.app();
    let (_, value) = app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["10.0.0.0/8"] }));
    let body = r#"{"name":"from nowhere"}"#;
    let request = format!(
        "POST {TOKENS} HTTP/1.1\r\nHost: x\r\nX-API-Key: {value}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // The server must be busy when the connections arrive; otherwise it reads their addresses before they are reset.
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let mut stream = app.connect();
                    socket2::SockRef::from(&stream)
                        .set_linger(Some(Duration::ZERO))
                        .unwrap();
                    // The server may already have closed the connection.
                    let _ = stream.write_all(request.as_bytes());
                }
            });
        }
    });
    assert_eq!(
        app.get(&format!("{TOKENS}?name=nowhere"), Auth::Admin).json()["results"],
        json!([])
    );
    app.stop();
    assert_eq!(
        env.store
            .texts("SELECT 'x' AS found FROM tokens WHERE name = 'from nowhere'"),
        [""; 0]
    );
}

fn only_trusted_proxies_set_the_client_address(env: &TestEnv) {
    let app = env.app();
    let (_, value) = app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["192.0.2.0/24"] }));
    let inside = |header, text: &str| {
        let app = env.app_with(&[
            "--trusted-proxy",
            "127.0.0.1,10.0.0.0/8",
            "--trusted-proxy",
            "::1",
            "--trusted-proxy-header",
            header,
        ]);
        app.send("GET", &self_path(), Auth::Key(&value), &[(header, text)], "")
            .status
    };
    app.send(
        "GET",
        &self_path(),
        Auth::Key(&value),
        &[("x-forwarded-for", "192.0.2.1")],
        "",
    )
    .expect(401);
    assert_eq!(inside("x-forwarded-for", "192.0.2.1"), 200);
    assert_eq!(inside("x-forwarded-for", "203.0.113.1, 192.0.2.1, 10.1.1.1"), 200);
    assert_eq!(inside("x-forwarded-for", "192.0.2.1, 203.0.113.1"), 401);
    assert_eq!(inside("x-forwarded-for", "192.0.2.1, nonsense"), 401);
    assert_eq!(
        inside("forwarded", "for=\"192.0.2.1:80\";proto=https, for=10.1.1.1"),
        200
    );
    assert_eq!(inside("forwarded", "for=unknown"), 401);
}

fn no_secret_is_stored(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    app.post(
        &format!("{TOKENS}/{id}/rotate"),
        Auth::Admin,
        &json!({ "gracePeriodSeconds": 60 }),
    )
    .expect(200);
    app.get(&self_path(), Auth::Basic("unknown", "typed by mistake"))
        .expect(401);
    app.get(&self_path(), Auth::Basic("typed in the wrong field", "x"))
        .expect(401);
    app.stop();
    let everything = env.store.texts(
        "SELECT details AS found FROM audit_events UNION ALL SELECT name FROM tokens UNION ALL SELECT password_hash FROM admins",
    );
    for secret in [&value[4..47], ADMIN.1, "typed by mistake", "typed in the wrong field"] {
        assert!(!everything.iter().any(|text| text.contains(secret)), "{secret}");
    }
    let hash = &env.store.texts("SELECT password_hash AS found FROM admins")[0];
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
}

fn the_first_start_creates_an_admin(env: &TestEnv) {
    let program = Program::new(&env.store.fresh_url());
    let password_file = env.store.directory.path().join("password");
    std::fs::write(&password_file, "from a file\n").unwrap();
    let variables = [
        ("TOKENBRIDGE_ADMIN_USERNAME", "root"),
        ("TOKENBRIDGE_ADMIN_PASSWORD_FILE", password_file.to_str().unwrap()),
    ];
    let server = program.serve_with(&[], &variables);
    server
        .client
        .get(LEGACY, Auth::Basic("root", "from a file"))
        .expect(200);
    server.client.get(LEGACY, Auth::Basic("admin", "admin")).expect(401);
    server.signal("TERM");
    server.wait();
    // A second start changes nothing.
    let server = program.serve_with(
        &[],
        &[
            ("TOKENBRIDGE_ADMIN_USERNAME", "root"),
            ("TOKENBRIDGE_ADMIN_PASSWORD", "other"),
        ],
    );
    server
        .client
        .get(LEGACY, Auth::Basic("root", "from a file"))
        .expect(200);
    drop(server);
    // By then, the secret may have been removed.
    drop(program.serve_with(&[], &[("TOKENBRIDGE_ADMIN_PASSWORD_FILE", "/nowhere")]));

    let server = Program::new(&env.store.fresh_url()).serve(&[]);
    let log = server.log();
    let generated = log
        .lines()
        .map(str::trim)
        .find(|line| line.len() == 24 && !line.contains(' '))
        .expect("a password is shown");
    assert_eq!(log.matches(generated).count(), 1);
    server.client.get(LEGACY, Auth::Basic("admin", generated)).expect(200);
}
