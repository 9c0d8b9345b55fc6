//! Names and passwords, values, addresses.

use std::{io::Write, time::Duration};

use serde_json::json;

use crate::{
    support::{
        ADMIN, Lab,
        client::{As, LEGACY, TOKENS, basic},
        program::Program,
    },
    tests,
};

tests![
    names_and_passwords_are_utf_8,
    a_changed_password_is_forgotten_at_once,
    a_removed_admin_is_out_at_once,
    guessing_is_slowed_down,
    others_failures_lock_nobody_out,
    wrong_values_are_told_alike,
    each_scheme_has_its_challenge,
    several_keys_must_be_the_same,
    a_value_works_from_its_networks_alone,
    a_client_without_an_address_is_nobody,
    proxies_are_believed_only_if_trusted,
    no_secret_is_stored,
    a_first_start_makes_an_admin,
];

fn self_path() -> String {
    format!("{TOKENS}/self")
}

fn names_and_passwords_are_utf_8(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    let (name, password) = ("Jürgen", "pässwörd: mit Doppelpunkt 🔑");
    assert_eq!(
        program
            .run_with_input(&["admin", "add", name, "--password-stdin"], password)
            .code,
        0
    );
    let app = lab.app();
    app.get(LEGACY, As::Basic(name, password)).expect(200);
    // The second time it is remembered, and a wrong one is still wrong.
    app.get(LEGACY, As::Basic(name, password)).expect(200);
    app.get(LEGACY, As::Basic(name, "pässwörd")).expect(401);
    let lower = basic(name, password).replacen("Basic", "bAsIc", 1);
    app.send("GET", LEGACY, As::Nobody, &[("authorization", &lower)], "")
        .expect(200);
    for broken in ["Basic", "Basic %%%", "Basic YQ==", "Basic /zo=", "Digest x"] {
        app.send("GET", LEGACY, As::Nobody, &[("authorization", broken)], "")
            .expect(401);
    }
}

fn a_changed_password_is_forgotten_at_once(lab: &Lab) {
    let app = lab.app();
    app.get(LEGACY, As::Admin).expect(200);
    let changed = Program::new(&lab.store.url())
        .run_with_input(&["admin", "passwd", ADMIN.0, "--password-stdin"], "another one\n");
    assert_eq!(changed.code, 0, "{changed:?}");
    app.get(LEGACY, As::Admin).expect(401);
    app.get(LEGACY, As::Basic(ADMIN.0, "another one")).expect(200);
}

fn a_removed_admin_is_out_at_once(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    let app = lab.app();
    assert_eq!(
        program
            .run_with_input(&["admin", "add", "second", "--password-stdin"], "second password")
            .code,
        0
    );
    app.get(LEGACY, As::Basic("second", "second password")).expect(200);
    assert_eq!(program.run(&["admin", "remove", "second"]).code, 0);
    app.get(LEGACY, As::Basic("second", "second password")).expect(401);
}

const BEHIND_PROXY: &[&str] = &["--trusted-proxy", "127.0.0.1"];

fn from<'a>(address: &'a str, authorization: &'a str) -> [(&'a str, &'a str); 2] {
    [("x-forwarded-for", address), ("authorization", authorization)]
}

fn guessing_is_slowed_down(lab: &Lab) {
    let app = lab.app();
    for n in 0..10 {
        app.get(LEGACY, As::Basic(ADMIN.0, &format!("guess {n}"))).expect(401);
    }
    let answer = app.get(LEGACY, As::Basic(ADMIN.0, "guess")).expect(429);
    assert_eq!(
        (answer.header("retry-after"), &answer.json()["status-code"]),
        (Some("6"), &json!(429))
    );
    app.get(TOKENS, As::Admin).expect(429);
    lab.clock.advance(Duration::from_secs(6));
    app.get(LEGACY, As::Admin).expect(200);
    // Success forgives.
    app.get(LEGACY, As::Basic(ADMIN.0, "guess")).expect(401);
}

fn others_failures_lock_nobody_out(lab: &Lab) {
    let app = lab.app_with(BEHIND_PROXY);
    let right = basic(ADMIN.0, ADMIN.1);
    for n in 0..12 {
        let wrong = basic(ADMIN.0, &format!("guess {n}"));
        let status = app
            .send("GET", LEGACY, As::Nobody, &from("192.0.2.1", &wrong), "")
            .status;
        assert_eq!(status, if n < 10 { 401 } else { 429 });
    }
    app.send("GET", LEGACY, As::Nobody, &from("192.0.2.1", &right), "")
        .expect(429);
    app.send("GET", LEGACY, As::Nobody, &from("192.0.2.2", &right), "")
        .expect(200);
    let other_name = basic("somebody", "guess");
    app.send("GET", LEGACY, As::Nobody, &from("192.0.2.1", &other_name), "")
        .expect(401);
}

fn wrong_values_are_told_alike(lab: &Lab) {
    let app = lab.app();
    let (id, deleted) = app.new_token(&json!({ "name": "n" }));
    app.delete(&format!("{TOKENS}/{id}"), As::Admin).expect(204);
    let unknown = "tbk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let mut mistyped = deleted.clone();
    mistyped.replace_range(10..11, if &deleted[10..11] == "x" { "y" } else { "x" });
    for value in ["x", unknown, &deleted, &mistyped, &id, &"x".repeat(5000)] {
        for who in [As::Key(value), As::Bearer(value)] {
            let answer = app.get(&self_path(), who).expect(401);
            assert_eq!(answer.text, r#"{"message":"the API key is not valid"}"#, "{value}");
        }
    }
}

fn each_scheme_has_its_challenge(lab: &Lab) {
    let app = lab.app();
    let basic = Some("Basic realm=\"tokenbridge\", charset=\"UTF-8\"");
    for (path, who, challenge) in [
        (TOKENS, As::Key("x"), Some("ApiKey")),
        (TOKENS, As::Bearer("x"), Some("ApiKey")),
        (TOKENS, As::Basic("a", "b"), basic),
        (LEGACY, As::Nobody, basic),
        (LEGACY, As::Basic("a", "b"), basic),
    ] {
        assert_eq!(
            app.get(path, who).expect(401).header("www-authenticate"),
            challenge,
            "{path} {who:?}"
        );
    }
}

fn several_keys_must_be_the_same(lab: &Lab) {
    fn key(value: &str) -> (&str, &str) {
        ("x-api-key", value)
    }
    fn authorization(value: &str) -> (&str, &str) {
        ("authorization", value)
    }
    let app = lab.app();
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
            app.send("GET", path, As::Nobody, headers, "").expect(status);
        }
    }
    app.send("GET", TOKENS, As::Nobody, &[key(""), authorization(&admin)], "")
        .expect(200);
    app.send(
        "GET",
        LEGACY,
        As::Nobody,
        &[authorization(&admin), authorization(&admin)],
        "",
    )
    .expect(200);
    let differing = [authorization(&admin), authorization(&bearer)];
    let refused = app.send("GET", LEGACY, As::Nobody, &differing, "").expect(401);
    assert_eq!(refused.message(), "the Authorization headers differ: send one");
    let refused = app
        .send("GET", TOKENS, As::Nobody, &[key(&one), key(&other)], "")
        .expect(401);
    assert_eq!(refused.message(), "the X-API-Key headers differ: send one");
}

fn a_value_works_from_its_networks_alone(lab: &Lab) {
    let app = lab.app_with(BEHIND_PROXY);
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
        let answer = app.send("GET", &self_path(), As::Nobody, &headers, "").expect(status);
        if status == 401 {
            assert_eq!(
                answer.message(),
                "the API key may not be used from this address",
                "{address}"
            );
        }
    }
    let (_, local) = app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["127.0.0.1/32"] }));
    app.get(&self_path(), As::Key(&local)).expect(200);
}

/// A connection that is reset before the server takes it has no address, and so is in no network.
fn a_client_without_an_address_is_nobody(lab: &Lab) {
    let app = lab.app();
    let (_, value) = app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["10.0.0.0/8"] }));
    let body = r#"{"name":"from nowhere"}"#;
    let request = format!(
        "POST {TOKENS} HTTP/1.1\r\nHost: x\r\nX-API-Key: {value}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // The server must be busy when the connections come, or it looks at their addresses before they are reset.
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let mut stream = app.connect();
                    socket2::SockRef::from(&stream)
                        .set_linger(Some(Duration::ZERO))
                        .unwrap();
                    // The server may have closed already.
                    let _ = stream.write_all(request.as_bytes());
                }
            });
        }
    });
    assert_eq!(
        app.get(&format!("{TOKENS}?name=nowhere"), As::Admin).json()["results"],
        json!([])
    );
    app.stop();
    assert_eq!(
        lab.store
            .texts("SELECT 'x' AS found FROM tokens WHERE name = 'from nowhere'"),
        [""; 0]
    );
}

fn proxies_are_believed_only_if_trusted(lab: &Lab) {
    let app = lab.app();
    let (_, value) = app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["192.0.2.0/24"] }));
    let inside = |header, text: &str| {
        let app = lab.app_with(&[
            "--trusted-proxy",
            "127.0.0.1,10.0.0.0/8",
            "--trusted-proxy",
            "::1",
            "--trusted-proxy-header",
            header,
        ]);
        app.send("GET", &self_path(), As::Key(&value), &[(header, text)], "")
            .status
    };
    app.send(
        "GET",
        &self_path(),
        As::Key(&value),
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

fn no_secret_is_stored(lab: &Lab) {
    let app = lab.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    app.post(
        &format!("{TOKENS}/{id}/rotate"),
        As::Admin,
        &json!({ "gracePeriodSeconds": 60 }),
    )
    .expect(200);
    app.get(&self_path(), As::Basic("nobody", "typed by mistake"))
        .expect(401);
    app.get(&self_path(), As::Basic("typed in the wrong field", "x"))
        .expect(401);
    app.stop();
    let everything = lab.store.texts(
        "SELECT details AS found FROM audit_events UNION ALL SELECT name FROM tokens UNION ALL SELECT password_hash FROM admins",
    );
    for secret in [&value[4..47], ADMIN.1, "typed by mistake", "typed in the wrong field"] {
        assert!(!everything.iter().any(|text| text.contains(secret)), "{secret}");
    }
    let hash = &lab.store.texts("SELECT password_hash AS found FROM admins")[0];
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
}

fn a_first_start_makes_an_admin(lab: &Lab) {
    let program = Program::new(&lab.store.fresh_url());
    let password_file = lab.store.directory.path().join("password");
    std::fs::write(&password_file, "from a file\n").unwrap();
    let variables = [
        ("TOKENBRIDGE_ADMIN_USERNAME", "root"),
        ("TOKENBRIDGE_ADMIN_PASSWORD_FILE", password_file.to_str().unwrap()),
    ];
    let serving = program.serve_with(&[], &variables);
    serving.client.get(LEGACY, As::Basic("root", "from a file")).expect(200);
    serving.client.get(LEGACY, As::Basic("admin", "admin")).expect(401);
    serving.signal("TERM");
    serving.wait();
    // A second start changes nothing.
    let serving = program.serve_with(
        &[],
        &[
            ("TOKENBRIDGE_ADMIN_USERNAME", "root"),
            ("TOKENBRIDGE_ADMIN_PASSWORD", "other"),
        ],
    );
    serving.client.get(LEGACY, As::Basic("root", "from a file")).expect(200);
    drop(serving);
    // By then the secret may be gone.
    drop(program.serve_with(&[], &[("TOKENBRIDGE_ADMIN_PASSWORD_FILE", "/nowhere")]));

    let serving = Program::new(&lab.store.fresh_url().replace("fresh.db", "fresher.db")).serve(&[]);
    let log = serving.log();
    let made_up = log
        .lines()
        .map(str::trim)
        .find(|line| line.len() == 24 && !line.contains(' '))
        .expect("a password is shown");
    assert_eq!(log.matches(made_up).count(), 1);
    serving.client.get(LEGACY, As::Basic("admin", made_up)).expect(200);
}
