//! Logins with the credentials of the legacy server.

pub mod servers;

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    support::{
        ADMIN, TestApp, TestEnv,
        bamboo::{Behavior, FakeBamboo, Fault},
        browser::Browser,
        client::{Auth, LEGACY, TOKENS},
        program::Program,
    },
    tests,
};

tests![
    an_administrator_of_the_legacy_server_becomes_an_admin,
    a_refused_login_is_not_repeated_within_a_minute,
    a_password_set_here_ends_it,
    a_removed_admin_does_not_come_back,
    a_new_password_there_replaces_the_one_here,
    unusual_names_and_passwords,
    guesses_are_throttled,
    servers_that_take_over_one_admin_at_once_both_accept_it,
];

const NEWER: &str = "/rest/agent-config/1.0/tokens";
const OLDER: &str = "/rest/agent/1.0/tokens";
const OPS: (&str, &str) = ("ops", "of the old server");

fn auth((name, password): (&'static str, &'static str)) -> Auth<'static> {
    Auth::Basic(name, password)
}

/// A legacy server whose administrators are these.
fn bamboo(users: &'static [(&'static str, &'static str)]) -> FakeBamboo {
    FakeBamboo::start(Behavior {
        users,
        ..Behavior::default()
    })
}

fn app(env: &TestEnv, bamboo: &FakeBamboo) -> TestApp {
    env.app_with(&["--legacy-login", &format!("http://{}", bamboo.address)])
}

fn requests(bamboo: &FakeBamboo) -> usize {
    bamboo.requested_paths().len()
}

/// Returns the admins as `admin list` prints them: name, role, and origin of the password.
fn admins(env: &TestEnv) -> Vec<[String; 3]> {
    let list = Program::new(&env.store.url()).run(&["admin", "list", "--output", "json"]);
    let list: Vec<Value> = serde_json::from_str(&list.stdout).unwrap();
    list.iter()
        .map(|admin| ["name", "role", "passwordOrigin"].map(|field| admin[field].as_str().unwrap().to_owned()))
        .collect()
}

fn run(env: &TestEnv, arguments: &[&str], input: &str) {
    let output = Program::new(&env.store.url()).run_with_input(arguments, input);
    assert_eq!(output.exit_code, 0, "{output:?}");
}

#[track_caller]
fn assert_outcomes(app: &TestApp, expected: [(&str, u32); 3]) {
    let metrics = app.get("/metrics", Auth::Anonymous).expect(200).text;
    for (outcome, count) in expected {
        let series = format!("tokenbridge_legacy_logins_total{{outcome=\"{outcome}\"}} {count}\n");
        assert!(metrics.contains(&series), "{series}");
    }
}

fn an_administrator_of_the_legacy_server_becomes_an_admin(env: &TestEnv) {
    let bamboo = bamboo(&[OPS, ("audit", "of the old server")]);
    let app = app(env, &bamboo);
    for path in [LEGACY, TOKENS, LEGACY] {
        app.get(path, auth(OPS)).expect(200);
    }
    assert_eq!(bamboo.requested_paths(), [NEWER]);
    assert_outcomes(&app, [("accepted", 1), ("refused", 0), ("failed", 0)]);
    app.post(LEGACY, auth(OPS), &json!({ "name": "made" })).expect(200);
    let actor = "/audit-events?actor=legacy-login";
    let events = app.get(actor, auth(OPS)).expect(200).json();
    let event = &events["results"][0];
    assert_eq!(event["actor"], json!({ "id": "legacy-login", "type": "system" }));
    assert_eq!(
        (&event["action"], &event["channel"], &event["client"], &event["details"]),
        (
            &json!("admin.added"),
            &json!("legacy-1.0"),
            &json!("127.0.0.1"),
            &json!({ "admin": "ops", "role": "operator" })
        )
    );
    let browser = Browser::signed_in(&app);
    assert!(browser.get("/admins").expect(200).text.contains(">Legacy login</span>"));
    app.stop();
    // Later logins need no legacy server.
    env.app().get(LEGACY, auth(OPS)).expect(200);
    let url = format!("http://{}", bamboo.address);
    let app = env.app_with(&["--legacy-login", &url, "--legacy-login-role", "auditor"]);
    // The console takes over an admin as well.
    let browser = Browser::new(&app);
    browser.sign_in("audit", "of the old server").expect(303);
    browser.get("/tokens").expect(200);
    let expected = [
        ["admin", "admin", "local"],
        ["audit", "auditor", "legacy-login"],
        ["ops", "operator", "legacy-login"],
    ];
    assert_eq!(admins(env), expected);
    let table = Program::new(&env.store.url()).run(&["admin", "list"]).stdout;
    assert!(table.lines().next().unwrap().ends_with("PASSWORD ORIGIN"), "{table}");
}

fn a_refused_login_is_not_repeated_within_a_minute(env: &TestEnv) {
    let bamboo = FakeBamboo::start(Behavior {
        first: vec![Fault::Reset],
        users: &[OPS],
        ..Behavior::default()
    });
    let app = env.app_with(&[
        "--legacy-login",
        &format!("http://{}", bamboo.address),
        "--trusted-proxy",
        "127.0.0.1",
    ]);
    // The same login from several addresses.
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.1"] {
        let headers = [("x-forwarded-for", client)];
        app.send("GET", LEGACY, auth(OPS), &headers, "").expect(401);
        env.clock.advance(Duration::from_secs(19));
    }
    assert_eq!(requests(&bamboo), 1);
    // Another password is another login.
    app.get(LEGACY, Auth::Basic("ops", "another")).expect(401);
    assert_eq!(requests(&bamboo), 2);
    // A repetition does not prolong the minute.
    env.clock.advance(Duration::from_secs(4));
    let headers = [("x-forwarded-for", "192.0.2.1")];
    app.send("GET", LEGACY, auth(OPS), &headers, "").expect(200);
    assert_eq!(requests(&bamboo), 3);
}

fn a_password_set_here_ends_it(env: &TestEnv) {
    let bamboo = bamboo(&[OPS, ("admin", "of the old server")]);
    let app = app(env, &bamboo);
    // This admin's password was always set here.
    app.get(LEGACY, Auth::Basic(ADMIN.0, "of the old server")).expect(401);
    assert_eq!(requests(&bamboo), 0);
    app.get(LEGACY, auth(OPS)).expect(200);
    assert_eq!(requests(&bamboo), 1);
    run(env, &["admin", "passwd", "ops", "--password-stdin"], "of this server");
    for _ in 0..2 {
        app.get(LEGACY, auth(OPS)).expect(401);
        app.get(LEGACY, Auth::Basic("ops", "of this server")).expect(200);
        env.clock.advance(Duration::from_mins(2));
    }
    assert_eq!(requests(&bamboo), 1);
    assert_eq!(admins(env)[1], ["ops", "operator", "local"]);
}

fn a_removed_admin_does_not_come_back(env: &TestEnv) {
    let names: [&str; 6] = ["ops", "OPS", " ops ", "\u{f6}ps", "\u{ff4f}ps", "o\u{301}ps"];
    // A user directory may accept each of these names.
    let bamboo = bamboo(&[
        OPS,
        ("OPS", OPS.1),
        (" ops ", OPS.1),
        ("\u{f6}ps", OPS.1),
        ("\u{ff4f}ps", OPS.1),
        ("\u{f3}ps", OPS.1),
    ]);
    let app = app(env, &bamboo);
    app.get(LEGACY, auth(OPS)).expect(200);
    // While the admin exists, another spelling is not taken over either.
    for name in &names[1..] {
        app.get(LEGACY, Auth::Basic(name, OPS.1)).expect(401);
    }
    run(env, &["admin", "remove", "ops"], "");
    env.clock.advance(Duration::from_mins(2));
    for name in names {
        app.get(LEGACY, Auth::Basic(name, OPS.1)).expect(401);
    }
    assert_eq!((requests(&bamboo), admins(env).len()), (1, 1));
    run(env, &["admin", "add", "ops", "--password-stdin"], "of this server");
    app.get(LEGACY, Auth::Basic("ops", "of this server")).expect(200);
    app.get(LEGACY, auth(OPS)).expect(401);
    assert_eq!(requests(&bamboo), 1);
}

fn a_new_password_there_replaces_the_one_here(env: &TestEnv) {
    let bamboo = bamboo(&[OPS, ("ops", "the next one")]);
    let app = app(env, &bamboo);
    app.get(LEGACY, auth(OPS)).expect(200);
    run(env, &["admin", "role", "ops", "auditor"], "");
    let browser = Browser::new(&app);
    browser.sign_in(OPS.0, OPS.1).expect(303);
    app.get(LEGACY, Auth::Basic("ops", "wrong")).expect(401);
    assert!(browser.is_signed_in());
    app.get(LEGACY, Auth::Basic("ops", "the next one")).expect(200);
    assert!(!browser.is_signed_in());
    app.get(LEGACY, Auth::Basic("ops", "the next one")).expect(200);
    assert_eq!(requests(&bamboo), 3);
    // The role that was given here stays.
    assert_eq!(admins(env)[1], ["ops", "auditor", "legacy-login"]);
    let changes =
        "SELECT actor_id || ' ' || details AS found FROM audit_events WHERE action = 'admin.password-changed'";
    assert_eq!(env.store.texts(changes), ["legacy-login {\"admin\":\"ops\"}"]);
}

fn unusual_names_and_passwords(env: &TestEnv) {
    const LONG: &str =
        "a password of more than 72 bytes, which bcrypt would cut off, and of which every byte counts: 1";
    const NFC: &str = "J\u{fc}rgen O'Neil";
    let bamboo = bamboo(&[(NFC, LONG), ("a", "b:\u{c4}\u{1f511}"), ("empty", "")]);
    let app = app(env, &bamboo);
    let decomposed = "Ju\u{308}rgen O'Neil";
    let cut = format!("{}2", &LONG[..LONG.len() - 1]);
    app.get(LEGACY, Auth::Basic(NFC, &cut)).expect(401);
    for name in [decomposed, NFC, decomposed] {
        app.get(LEGACY, Auth::Basic(name, LONG)).expect(200);
    }
    app.get(LEGACY, Auth::Basic("a", "b:\u{c4}\u{1f511}")).expect(200);
    assert_eq!(requests(&bamboo), 3);
    assert!(admins(env).iter().any(|[name, ..]| name == NFC));
    // These cannot be an admin's, or cannot be sent with Basic.
    let long = "x".repeat(256);
    for (name, password) in [
        ("empty", ""),
        ("", "x"),
        ("ADMIN", "x"),
        (" blanks", "x"),
        ("blanks\u{a0}", "x"),
        ("a\u{202e}b", "x"),
        (&long, "x"),
        ("x", &"y".repeat(1025)),
    ] {
        app.get(LEGACY, Auth::Basic(name, password)).expect(401);
    }
    let browser = Browser::new(&app);
    browser.sign_in("a:b", "\u{c4}\u{1f511}").expect(403);
    assert_eq!((requests(&bamboo), admins(env).len()), (3, 3));
}

fn guesses_are_throttled(env: &TestEnv) {
    let bamboo = bamboo(&[OPS]);
    let app = app(env, &bamboo);
    let statuses: Vec<u16> = (0..15_usize)
        .map(|n| {
            let spelling = ["ops", "OPS", "\u{f3}ps"][n % 3];
            app.get(LEGACY, Auth::Basic(spelling, &format!("guess {n}"))).status
        })
        .collect();
    assert_eq!(statuses, [[401; 10].as_slice(), &[429; 5]].concat());
    assert_eq!(requests(&bamboo), 10);
    app.get(LEGACY, auth(OPS)).expect(429);
}

fn servers_that_take_over_one_admin_at_once_both_accept_it(env: &TestEnv) {
    let bamboo = bamboo(&[OPS]);
    let apps = [app(env, &bamboo), app(env, &bamboo)];
    std::thread::scope(|scope| {
        let logins: Vec<_> = apps
            .iter()
            .cycle()
            .take(8)
            .map(|app| {
                let client = &app.client;
                scope.spawn(move || client.post(TOKENS, auth(OPS), &json!({ "name": "made" })))
            })
            .collect();
        for login in logins {
            login.join().unwrap().expect(200);
        }
    });
    // Each server asks at most once for all of its logins.
    assert!(requests(&bamboo) <= 2);
    let events = "SELECT action AS found FROM audit_events WHERE actor_id = 'legacy-login'";
    assert_eq!(env.store.texts(events), ["admin.added"]);
    assert_eq!(admins(env).len(), 2);
}
