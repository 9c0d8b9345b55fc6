//! Signing in, sessions, their cookies, and forms from elsewhere.

use std::time::Duration;

use serde_json::json;

use super::tokens;
use crate::{
    support::{
        ADMIN, TestEnv,
        browser::{Browser, assert_redirects_to, hidden_fields},
        certificate::Certificate,
        client::{Auth, Response, TOKENS},
        program::Program,
        store::StoreKind,
    },
    tests,
};

tests![
    every_page_requires_a_session,
    signing_in_starts_a_new_session,
    signing_out_ends_the_session,
    cross_site_links_keep_the_session,
    foreign_cookies_are_ignored,
    sessions_end_when_idle_and_at_the_end_of_the_day,
    a_changed_password_ends_all_sessions,
    a_removed_admin_loses_every_session,
    only_hashes_of_session_keys_are_stored,
    sign_ins_share_the_throttle_of_basic_authentication,
    forms_from_elsewhere_are_rejected,
    cookies_are_secure_behind_https,
];
tests![SQLITE_TESTS: cookies_are_secure_over_tls, console_log_lines_contain_no_secrets];

fn every_page_requires_a_session(env: &TestEnv) {
    let app = env.app();
    assert_redirects_to(&app.get("/", Auth::Anonymous), "/console");
    assert_redirects_to(&app.get("/console", Auth::Anonymous), "/console/sign-in");
    assert_redirects_to(
        &app.get("/console/tokens", Auth::Anonymous),
        "/console/sign-in?next=%2Ftokens",
    );
    let wanted = "/console/audit?actor=a%20b";
    assert_redirects_to(
        &app.get(wanted, Auth::Anonymous),
        "/console/sign-in?next=%2Faudit%3Factor%3Da%2520b",
    );
    for (method, path) in FORMS {
        let response = app.send(method, &format!("/console{path}"), Auth::Anonymous, &[], "");
        assert_eq!(response.status, 303, "{path}: {response:?}");
        assert!(
            response.header("location").unwrap().starts_with("/console/sign-in"),
            "{path}"
        );
    }
    // The console does not accept the credentials of the APIs: a browser would send them with other sites' requests.
    assert_redirects_to(&app.get("/console", Auth::Admin), "/console/sign-in");
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    assert_redirects_to(&app.get("/console", Auth::Key(&value)), "/console/sign-in");
}

const FORMS: [(&str, &str); 13] = [
    ("POST", "/tokens/search"),
    ("POST", "/tokens/selection"),
    ("POST", "/tokens/selection/change"),
    ("POST", "/tokens/new"),
    ("POST", "/tokens/7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0/edit"),
    ("POST", "/tokens/7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0/rotate"),
    ("POST", "/tokens/7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0/delete"),
    ("POST", "/tokens/7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0/end-grace"),
    ("POST", "/admins"),
    ("POST", "/admins/password?name=admin"),
    ("POST", "/account/password"),
    ("POST", "/account/sessions"),
    ("POST", "/sign-out"),
];

fn signing_in_starts_a_new_session(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::new(&app);
    let form = browser.get("/sign-in?next=%2Flegacy").expect(200);
    let cookie_ends = |response: &Response, end: &str| {
        let cookie = response.header("set-cookie").unwrap();
        assert!(cookie.ends_with(end), "{cookie}");
    };
    cookie_ends(&form, "; HttpOnly; SameSite=Strict; Path=/console");
    let of_form = || browser.cookies.borrow()["tokenbridge_sign_in"].clone();
    let before = of_form();
    let wrong = browser.submit(&form, "/sign-in", &[("name", ADMIN.0), ("password", "wrong")]);
    assert!(wrong.expect(403).text.contains("The user name or password is wrong."));
    assert_eq!(of_form(), before);
    let right = browser.submit(&form, "/sign-in", &[("name", ADMIN.0), ("password", ADMIN.1)]);
    assert_redirects_to(&right, "/console/legacy");
    cookie_ends(&right, "; HttpOnly; SameSite=Strict; Path=/console");
    assert_ne!(browser.key(), before);
    assert!(browser.is_signed_in());
    assert_redirects_to(&browser.get("/sign-in"), "/console");
    // Neither the key of the sign-in form nor an unknown key authenticates.
    for key in [before, "A".repeat(43), "x".to_owned(), String::new()] {
        let other = Browser::new(&app);
        other.cookies.borrow_mut().insert("tokenbridge_session".to_owned(), key);
        assert!(!other.is_signed_in());
    }
    // Signing in again in the same browser ends the previous session.
    let first = browser.key();
    let again = Browser::new(&app);
    let page = again.get("/sign-in").expect(200);
    again
        .cookies
        .borrow_mut()
        .insert("tokenbridge_session".to_owned(), first);
    again
        .submit(&page, "/sign-in", &[("name", ADMIN.0), ("password", ADMIN.1)])
        .expect(303);
    assert!(again.is_signed_in() && !browser.is_signed_in());
}

fn cross_site_links_keep_the_session(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    // The browser sends no cookies there (SameSite=Strict), but stores those that it receives.
    let shown = browser.cookies.take();
    assert_redirects_to(&browser.get(""), "/console/sign-in");
    let page = browser.get("/sign-in").expect(200);
    assert!(!page.text.contains("Your session has ended."));
    let cross_site = [("sec-fetch-site", "cross-site")];
    let again = browser
        .send("GET", "/sign-in?next=%2Flegacy", &cross_site, "")
        .expect(200);
    assert_eq!((again.header("refresh"), again.header("set-cookie")), (Some("0"), None));
    let given = browser.cookies.replace(shown);
    browser.cookies.borrow_mut().extend(given);
    assert!(browser.is_signed_in());
    // Opening the form does not create a session that could end.
    let stranger = Browser::new(&app);
    stranger.get("/sign-in").expect(200);
    assert_redirects_to(&stranger.get(""), "/console/sign-in");
}

fn foreign_cookies_are_ignored(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let session = format!("tokenbridge_session={}", browser.key());
    for others in [
        "nameless",
        "=",
        "latin1=%E4",
        "quoted=\"a b\"",
        "tokenbridge_session=planted",
        "tokenbridge_language=?",
    ] {
        for cookies in [format!("{others}; {session}"), format!("{session};{others}")] {
            let page = app.send("GET", "/console/tokens", Auth::Anonymous, &[("cookie", &cookies)], "");
            assert_eq!(page.status, 200, "{cookies}");
        }
    }
    let page = app.send("GET", "/console", Auth::Anonymous, &[("cookie", "nameless")], "");
    assert_redirects_to(&page, "/console/sign-in");
}

fn signing_out_ends_the_session(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let key = browser.key();
    let page = browser.get("/tokens/new").expect(200);
    let out = browser.submit(&page, "/sign-out", &[]);
    assert_redirects_to(&out, "/console/sign-in?done=signed-out");
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    browser
        .cookies
        .borrow_mut()
        .insert("tokenbridge_session".to_owned(), key);
    assert!(!browser.is_signed_in());
}

fn sessions_end_when_idle_and_at_the_end_of_the_day(env: &TestEnv) {
    let app = env.app();
    let (idle, busy) = (Browser::signed_in(&app), Browser::signed_in(&app));
    env.clock.advance(Duration::from_mins(29));
    assert!(busy.is_signed_in());
    env.clock.advance(Duration::from_mins(1));
    assert!(!idle.is_signed_in() && busy.is_signed_in());
    for _ in 0..23 {
        env.clock.advance(Duration::from_mins(29));
        assert!(busy.is_signed_in());
    }
    env.clock.advance(Duration::from_mins(22));
    assert!(busy.is_signed_in(), "11:59");
    env.clock.advance(Duration::from_mins(1));
    assert!(!busy.is_signed_in(), "12:00");
    // The next sign-in removes expired sessions.
    let next = Browser::signed_in(&app);
    assert!(next.is_signed_in());
    assert_eq!(env.store.texts("SELECT admin AS found FROM sessions"), [ADMIN.0]);
}

fn a_changed_password_ends_all_sessions(env: &TestEnv) {
    let app = env.app();
    let other_server = env.app();
    let (here, there) = (Browser::signed_in(&app), Browser::signed_in(&other_server));
    let before = here.key();
    let page = here.get("/account").expect(200);
    let change = |own, password, again| {
        let fields = [("own", own), ("password", password), ("again", again)];
        here.submit(&page, "/account/password", &fields)
    };
    let (old, new) = (ADMIN.1, "a new passphrase");
    for (own, again, status, message) in [
        ("wrong", new, 403, "Your own password is wrong. Nothing has changed."),
        (old, "another", 400, "The two passwords differ."),
    ] {
        let refused = change(own, new, again).expect(status);
        assert!(refused.text.contains(message), "{refused:?}");
        assert!(there.is_signed_in());
    }
    assert_redirects_to(&change(old, new, new), "/console/account?done=password-changed");
    assert!(here.is_signed_in() && !there.is_signed_in());
    assert_ne!(here.key(), before);
    app.get(TOKENS, Auth::Admin).expect(401);
    // The same applies on the command line.
    let program = Program::new(&env.store.url());
    let output = program.run_with_input(&["admin", "passwd", ADMIN.0, "--password-stdin"], "yet another one");
    assert_eq!(output.exit_code, 0, "{output:?}");
    assert!(!here.is_signed_in());
}

fn a_removed_admin_loses_every_session(env: &TestEnv) {
    let app = env.app();
    app_with_ops(env);
    let (browser, ops) = (Browser::signed_in(&app), Browser::new(&app));
    ops.sign_in("ops", "the password of ops").expect(303);
    assert!(ops.is_signed_in());
    assert_redirects_to(
        &browser.fill("/admins/remove?name=ops", &[("confirm", "ops")]),
        "/console/admins?done=removed",
    );
    assert!(!ops.is_signed_in() && browser.is_signed_in());
}

fn app_with_ops(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let output = program.run_with_input(&["admin", "add", "ops", "--password-stdin"], "the password of ops");
    assert_eq!(output.exit_code, 0, "{output:?}");
}

fn only_hashes_of_session_keys_are_stored(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let dump = match env.kind {
        StoreKind::Sqlite => "SELECT hex(key_hash) || admin AS found FROM sessions",
        StoreKind::Postgres => "SELECT encode(key_hash, 'hex') || admin AS found FROM sessions",
    };
    let rows = env.store.texts(dump);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].len(), 64 + ADMIN.0.len());
    assert!(!rows[0].contains(&browser.key()));
}

fn sign_ins_share_the_throttle_of_basic_authentication(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::new(&app);
    let form = browser.get("/sign-in").expect(200);
    let guess = |password: &str| browser.submit(&form, "/sign-in", &[("name", ADMIN.0), ("password", password)]);
    for n in 0..5 {
        guess(&format!("wrong {n}")).expect(403);
        app.get(TOKENS, Auth::Basic(ADMIN.0, &format!("wrong with Basic {n}")))
            .expect(401);
    }
    let throttled = guess(ADMIN.1).expect(429);
    assert!(throttled.text.contains("Too many failed attempts"));
    assert!(throttled.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    app.get(TOKENS, Auth::Admin).expect(429);
    env.clock.advance(Duration::from_mins(2));
    guess(ADMIN.1).expect(303);
}

fn forms_from_elsewhere_are_rejected(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let browser = Browser::signed_in(&app);
    let before = tokens(&app);
    let stranger = Browser::new(&app);
    let of_stranger = hidden_fields(&stranger.get("/sign-in").expect(200).text).remove(0);
    let fields = |form_key: Option<&(String, String)>| {
        let filled = [
            ("name", "forged"),
            ("confirm", "n"),
            ("password", "12345678"),
            ("again", "12345678"),
            ("mark", ""),
        ];
        let filled = filled.map(|(name, value)| (name.to_owned(), value.to_owned()));
        filled.into_iter().chain(form_key.cloned()).collect::<Vec<_>>()
    };
    for (_, path) in FORMS {
        let path = path.replace("7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0", &id);
        for form_key in [None, Some(&of_stranger), Some(&("formKey".to_owned(), String::new()))] {
            let response = browser.post(&path, &fields(form_key));
            assert_eq!(response.status, 403, "{path}: {response:?}");
            assert!(
                response
                    .text
                    .contains("The page has expired, or the form came from another site."),
                "{path}"
            );
        }
    }
    // The sign-in form has the same protection: a link cannot sign an admin in under another name.
    let victim = Browser::new(&app);
    victim.get("/sign-in").expect(200);
    let forged = [("name", ADMIN.0), ("password", ADMIN.1)].map(|(name, value)| (name.to_owned(), value.to_owned()));
    victim.post("/sign-in", &forged).expect(403);
    Browser::new(&app).post("/sign-in", &forged).expect(403);
    assert_eq!(tokens(&app), before);
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    assert!(browser.is_signed_in());
    // A forged mark creates no token.
    let page = browser.get("/tokens/new").expect(200);
    let own = hidden_fields(&page.text).remove(0);
    let mut forged = fields(Some(&own));
    forged.retain(|(name, _)| name != "mark");
    forged.push(("mark".to_owned(), "1".to_owned()));
    browser.post("/tokens/new", &forged).expect(403);
    assert_eq!(tokens(&app).len(), 1);
}

fn cookies_are_secure_behind_https(env: &TestEnv) {
    let app = env.app_with(&["--trusted-proxy", "127.0.0.1"]);
    let cookie = |scheme: &str| {
        let browser = Browser::new(&app);
        let response = browser
            .send("GET", "/sign-in", &[("x-forwarded-proto", scheme)], "")
            .expect(200);
        response.header("set-cookie").unwrap().to_owned()
    };
    assert!(cookie("https").contains("; Secure"));
    assert!(!cookie("http").contains("Secure"));
    let untrusting = env.app();
    let response = Browser::new(&untrusting).send("GET", "/sign-in", &[("x-forwarded-proto", "https")], "");
    assert!(!response.header("set-cookie").unwrap().contains("Secure"));
}

fn cookies_are_secure_over_tls(env: &TestEnv) {
    let certificate = Certificate::write(env.store.directory.path());
    let (chain, key) = (
        certificate.chain.display().to_string(),
        certificate.key.display().to_string(),
    );
    let server = Program::new(&env.store.url()).serve(&["--tls-cert", &chain, "--tls-key", &key]);
    let tls = ureq::tls::TlsConfig::builder()
        .provider(ureq::tls::TlsProvider::NativeTls)
        .disable_verification(true)
        .build();
    let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
    let response = agent
        .get(format!("https://{}/console/sign-in", server.client.address))
        .call()
        .unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("; Secure"), "{cookie}");
}

fn console_log_lines_contain_no_secrets(env: &TestEnv) {
    let server = Program::new(&env.store.url()).serve(&[]);
    let browser = Browser::signed_in(&server.client);
    Browser::new(&server.client)
        .sign_in("secret-name", "secret-password")
        .expect(403);
    browser.get("/tokens?search=secret-query").expect(200);
    let (id, value) = browser.create(&[("name", "secret-token")]);
    browser.get(&format!("/tokens/{id}")).expect(200);
    browser.fill(
        "/admins",
        &[("name", "secret-a"), ("password", "secret-b"), ("again", "secret-c")],
    );
    let key = browser.key();
    server.signal("TERM");
    let (_, log) = server.wait();
    assert!(log.contains("route=/console/tokens/{id} status=200"), "{log}");
    assert!(log.contains("caller=\"admin admin\""), "{log}");
    for secret in [&value[4..], &id, &key, ADMIN.1, "secret"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
