//! The console, as a browser uses it that runs no script.

use std::time::Duration;

use diesel::{Connection, PgConnection, connection::SimpleConnection};
use serde_json::{Value, json};

use crate::{
    support::{
        ADMIN, TestApp, TestEnv,
        browser::{Browser, assert_redirects_to, between, hidden_fields, names, next_page, percent_encoded, value},
        certificate::Certificate,
        client::{Auth, Client, LEGACY, Response, TOKENS, string},
        program::Program,
        store::{StoreKind, sqlite},
        wait_until,
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
    a_token_can_be_created_edited_rotated_and_deleted,
    resubmitting_a_form_has_no_further_effect,
    concurrent_edits_conflict,
    a_corrected_form_still_conflicts,
    an_edit_preserves_fields_that_it_does_not_show,
    every_sort_order_lists_every_token_once,
    filters_and_search_select_tokens,
    the_search_ignores_the_case_of_all_letters,
    invalid_input_is_reported_and_kept,
    names_are_escaped,
    names_are_displayed_unchanged,
    confirmation_ignores_collapsed_whitespace,
    admins_are_added_changed_and_removed,
    the_list_of_admins_is_paginated,
    the_audit_page_filters_and_downloads,
    the_legacy_page_gives_a_verdict,
    the_console_is_translated_into_korean,
    pages_have_a_strict_content_security_policy,
    the_console_honors_the_context_path,
    cookies_are_secure_behind_https,
    a_locked_store_is_reported,
];

tests![SQLITE_TESTS: cookies_are_secure_over_tls, console_log_lines_contain_no_secrets];

tests![POSTGRES_TESTS: admins_who_change_each_other_do_not_deadlock];

fn tokens(app: &TestApp) -> Vec<Value> {
    app.get(TOKENS, Auth::Admin).expect(200).json()["results"]
        .as_array()
        .unwrap()
        .clone()
}

fn every_page_requires_a_session(env: &TestEnv) {
    let app = env.app();
    assert_redirects_to(&app.get("/", Auth::Anonymous), "/console/tokens");
    assert_redirects_to(&app.get("/console", Auth::Anonymous), "/console/tokens");
    assert_redirects_to(&app.get("/console/tokens", Auth::Anonymous), "/console/sign-in");
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
    // The credentials of the APIs are none here: a browser would send them with what another site asks of it.
    assert_redirects_to(&app.get("/console/tokens", Auth::Admin), "/console/sign-in");
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    assert_redirects_to(&app.get("/console/tokens", Auth::Key(&value)), "/console/sign-in");
}

const FORMS: [(&str, &str); 7] = [
    ("POST", "/tokens"),
    ("POST", "/tokens/7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0"),
    ("POST", "/tokens/7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0/rotate"),
    ("POST", "/tokens/7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0/delete"),
    ("POST", "/admins"),
    ("POST", "/admins/password?name=admin"),
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
    cookie_ends(&form, "; HttpOnly; SameSite=Strict; Path=/console/sign-in");
    let of_form = || browser.cookies.borrow()["tokenbridge_sign_in"].clone();
    let before = of_form();
    let wrong = browser.submit(&form, "/sign-in", &[("name", ADMIN.0), ("password", "wrong")]);
    assert!(
        wrong
            .expect(403)
            .text
            .contains("The user name or the password is wrong.")
    );
    assert_eq!(of_form(), before);
    let right = browser.submit(&form, "/sign-in", &[("name", ADMIN.0), ("password", ADMIN.1)]);
    assert_redirects_to(&right, "/console/legacy");
    cookie_ends(&right, "; HttpOnly; SameSite=Strict; Path=/console");
    assert_ne!(browser.key(), before);
    assert!(browser.is_signed_in());
    assert_redirects_to(&browser.get("/sign-in"), "/console/tokens");
    // The key of the sign-in form is no session key, and neither is an unknown one.
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
    // A browser shows no cookies there (SameSite=Strict), but takes those that it gets.
    let shown = browser.cookies.take();
    assert_redirects_to(&browser.get("/tokens"), "/console/sign-in");
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
    assert_redirects_to(&stranger.get("/tokens"), "/console/sign-in");
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
    let page = app.send("GET", "/console/tokens", Auth::Anonymous, &[("cookie", "nameless")], "");
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
    // The next sign-in takes away what has ended.
    let next = Browser::signed_in(&app);
    assert!(next.is_signed_in());
    assert_eq!(env.store.texts("SELECT admin AS found FROM sessions"), [ADMIN.0]);
}

fn a_changed_password_ends_all_sessions(env: &TestEnv) {
    let app = env.app();
    let other_server = env.app();
    let (here, there) = (Browser::signed_in(&app), Browser::signed_in(&other_server));
    let changed = here.fill(
        "/admins/password?name=admin",
        &[("password", "a new passphrase"), ("again", "a new passphrase")],
    );
    assert_redirects_to(&changed, "/console/sign-in?done=password-changed");
    assert!(!here.is_signed_in() && !there.is_signed_in());
    app.get(TOKENS, Auth::Admin).expect(401);
    here.sign_in(ADMIN.0, "a new passphrase").expect(303);
    assert!(here.is_signed_in());
    // At the command line, too.
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
        &browser.fill("/admins/remove?name=ops", &[]),
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
            assert!(response.text.contains("This form is out of date"), "{path}");
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
    browser.post("/tokens", &forged).expect(403);
    assert_eq!(tokens(&app).len(), 1);
}

fn a_token_can_be_created_edited_rotated_and_deleted(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let empty = browser.get("/tokens").expect(200);
    assert!(
        empty.text.contains("You haven&#39;t created any tokens yet"),
        "{}",
        empty.text
    );
    let expires = env.clock.seconds_from_now(86_400 * 10);
    let (id, value) = browser.create(&[
        ("name", "deployer"),
        ("permission", "OrganizationAPITokenRead"),
        ("permission", "AlertRead"),
        ("blocks", "127.0.0.1/8\r\n10.0.0.0/8"),
        ("expires", &expires[..16]),
    ]);
    let shown = app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200).json();
    assert_eq!(
        (
            &shown["id"],
            &shown["name"],
            &shown["permissions"],
            &shown["allowedCIDRBlocks"],
            &shown["expiresAt"]
        ),
        (
            &json!(id),
            &json!("deployer"),
            &json!(["AlertRead", "OrganizationAPITokenRead"]),
            &json!(["127.0.0.0/8", "10.0.0.0/8"]),
            &json!(expires),
        )
    );
    assert_eq!(shown["createdBy"], json!({ "id": ADMIN.0, "type": "user" }));
    let list = browser.get("/tokens").expect(200).text;
    for part in [
        "deployer",
        "Read Alerts",
        "10.0.0.0/8",
        "just now",
        "Expiring",
        "in 10 days",
        "by admin",
    ] {
        assert!(list.contains(part), "{part}");
    }
    let path = format!("/tokens/{id}");
    for page in [
        list,
        browser.get(&path).expect(200).text,
        browser.get("/audit").expect(200).text,
    ] {
        assert!(!page.contains(&value));
    }

    let edited = browser.fill(&path, &[("name", "deployer 2"), ("blocks", ""), ("expires", "")]);
    assert_redirects_to(&edited, "/console/tokens?done=changed");
    let shown = app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(200).json();
    assert_eq!(
        (
            &shown["name"],
            &shown["permissions"],
            &shown["allowedCIDRBlocks"],
            &shown["expiresAt"]
        ),
        (&json!("deployer 2"), &json!([]), &json!([]), &Value::Null)
    );

    let rotated = browser
        .fill(&format!("{path}/rotate"), &[("grace", "3600")])
        .expect(200);
    assert!(
        rotated
            .text
            .contains("The old value works until 2030-01-01 01:00:00 UTC.")
    );
    let second = self::value(&rotated);
    for works in [&value, &second] {
        app.get(&format!("{TOKENS}/self"), Auth::Key(works)).expect(200);
    }
    let rotated = browser.fill(&format!("{path}/rotate"), &[("grace", "0")]).expect(200);
    let third = self::value(&rotated);
    for ended in [&value, &second] {
        app.get(&format!("{TOKENS}/self"), Auth::Key(ended)).expect(401);
    }
    browser.fill(&format!("{path}/rotate"), &[("grace", "5")]).expect(403);

    let wrong = browser
        .fill(&format!("{path}/delete"), &[("confirm", "deployer")])
        .expect(400);
    assert!(wrong.text.contains("That is not the name of this token."));
    app.get(&format!("{TOKENS}/self"), Auth::Key(&third)).expect(200);
    let gone = browser.fill(&format!("{path}/delete"), &[("confirm", " deployer 2 ")]);
    assert_redirects_to(&gone, "/console/tokens?done=deleted");
    app.get(&format!("{TOKENS}/self"), Auth::Key(&third)).expect(401);
    let missing = browser.get(&path).expect(404);
    assert!(missing.text.contains("There is nothing here."));

    let channels = "SELECT action || ' ' || channel || ' ' || client AS found FROM audit_events WHERE token_id IS NOT NULL ORDER BY seq";
    let actions = ["created", "updated", "rotated", "rotated", "deleted"];
    assert_eq!(
        env.store.texts(channels),
        actions.map(|action| format!("token.{action} console 127.0.0.1"))
    );
}

fn resubmitting_a_form_has_no_further_effect(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let page = browser.get("/tokens/new").expect(200);
    let send = || browser.submit(&page, "/tokens", &[("name", "once")]);
    let first = send().expect(200);
    let again = send();
    let [token] = &tokens(&app)[..] else {
        panic!("not one token")
    };
    let path = format!("/tokens/{}", string(&token["id"]));
    assert_redirects_to(&again, &format!("/console{path}?seen=made"));
    let told = browser.get(&format!("{path}?seen=made")).expect(200);
    assert!(told.text.contains("This token has been made already.") && !told.text.contains(&value(&first)));
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value(&first)))
        .expect(200);
    // Another page makes another token.
    browser.create(&[("name", "once")]);
    assert_eq!(tokens(&app).len(), 2);

    let page = browser.get(&format!("{path}/rotate")).expect(200);
    let send = || browser.submit(&page, &format!("{path}/rotate"), &[("grace", "0")]);
    let rotated = send().expect(200);
    assert_redirects_to(&send(), &format!("/console{path}?seen=rotated"));
    assert!(
        browser
            .get(&format!("{path}?seen=rotated"))
            .expect(200)
            .text
            .contains("This token has changed since you opened the page, so it was not rotated.")
    );
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value(&rotated)))
        .expect(200);

    let page = browser.get(&format!("{path}/delete")).expect(200);
    let send = || browser.submit(&page, &format!("{path}/delete"), &[("confirm", "once")]);
    send().expect(303);
    send().expect(404);
    assert_eq!(tokens(&app).len(), 1);
}

fn concurrent_edits_conflict(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "shared" }));
    let path = format!("/tokens/{id}");
    let (one, other) = (Browser::signed_in(&app), Browser::signed_in(&app));
    let pages = [one.get(&path).expect(200), other.get(&path).expect(200)];
    one.submit(&pages[0], &path, &[("name", "of the first")]).expect(303);
    let told = other.submit(&pages[1], &path, &[("name", "of the second")]).expect(409);
    assert!(
        told.text
            .contains("Somebody has changed this token since you opened it.")
    );
    assert!(told.text.contains("value=\"of the first\""));
    assert_eq!(tokens(&app)[0]["name"], "of the first");
    other.submit(&told, &path, &[("name", "of the second")]).expect(303);
    assert_eq!(tokens(&app)[0]["name"], "of the second");
    // A page from before a change does not rotate either.
    let page = one.get(&format!("{path}/rotate")).expect(200);
    other.fill(&path, &[("name", "of the second again")]).expect(303);
    let refused = one.submit(&page, &format!("{path}/rotate"), &[("grace", "0")]);
    assert_redirects_to(&refused, &format!("/console{path}?seen=rotated"));
}

fn a_corrected_form_still_conflicts(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "shared" }));
    let path = format!("/tokens/{id}");
    let browser = Browser::signed_in(&app);
    let page = browser.get(&path).expect(200);
    app.post(
        &format!("{TOKENS}/{id}"),
        Auth::Admin,
        &json!({ "permissions": ["AlertRead"] }),
    )
    .expect(200);
    let told = browser
        .submit(&page, &path, &[("name", "renamed"), ("blocks", "x")])
        .expect(400);
    browser.submit(&told, &path, &[("name", "renamed")]).expect(409);
    assert_eq!(tokens(&app)[0]["permissions"], json!(["AlertRead"]));
}

fn an_edit_preserves_fields_that_it_does_not_show(env: &TestEnv) {
    let app = env.app();
    let expires = env.clock.seconds_from_now(60).replace('Z', ".123456Z");
    let body = json!({ "name": " spaced ", "permissions": ["UserRead"], "allowedCIDRBlocks": ["10.0.0.0/8"], "expiresAt": expires });
    let (id, value) = app.new_token(&body);
    let browser = Browser::signed_in(&app);
    let path = format!("/tokens/{id}");
    let same = |name: &'static str| {
        let page = browser.get(&path).expect(200);
        let written = between(
            &page.text,
            "name=\"expires\" type=\"datetime-local\" step=\"1\" value=\"",
            "\"",
        );
        assert_eq!(written, &expires[..19]);
        let fields = [
            ("name", name),
            ("permission", "UserRead"),
            ("blocks", "10.0.0.0/8"),
            ("expires", &written),
        ];
        browser.submit(&page, &path, &fields).expect(303);
        app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(200).json()
    };
    let before = app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(200).json();
    let mut after = same(" spaced ");
    for field in ["updatedAt", "updatedBy"] {
        after.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(after, before);
    // One that has expired can get another name, and stays what it is.
    env.clock.advance(Duration::from_mins(2));
    assert_eq!(same("renamed")["expiresAt"], json!(expires));
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(401);
}

fn every_sort_order_lists_every_token_once(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let id = |n: usize| format!("'00000000-0000-4000-8000-{n:012}'");
    let number = |n: Option<usize>| n.map_or("NULL".to_owned(), |n| (1_893_456_000_000_000 + n).to_string());
    // 250 tokens; of each three one has never been used, and of each two one never expires; many are alike.
    let rows = (1..=250).map(|n: usize| {
        let name = format!("'{}-{n:03}'", ["b", "A", "c"][n % 3]);
        let used = number((!n.is_multiple_of(3)).then_some(n % 7));
        let expires = number(n.is_multiple_of(2).then_some(1_000_000_000_000 + n % 5));
        format!("({}, {name}, '', '', 0, 'user', 'admin', {used}, {expires})", id(n))
    });
    env.store.execute(&format!(
        "INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, created_at, created_by_type, created_by_id, last_used_at, expires_at)
         VALUES {}",
        rows.collect::<Vec<_>>().join(", ")
    ));
    let all = |query: &str| {
        let (mut path, mut found, mut pages) = (format!("/tokens{query}"), Vec::new(), 0);
        loop {
            let page = browser.get(&path).expect(200);
            found.extend(names(&page));
            pages += 1;
            assert!(pages < 10, "it comes to an end");
            match next_page(&page) {
                Some(next) => path = next,
                None => break,
            }
        }
        assert_eq!(pages, found.len().div_ceil(100));
        found
    };
    let order = |key: &str| {
        env.store
            .texts(&format!("SELECT name AS found FROM tokens ORDER BY {key}"))
    };
    for (sort, key) in [
        ("created", "seq"),
        ("name", "lower(name), seq"),
        ("last-used", "coalesce(last_used_at, 0), seq"),
        ("expires", "coalesce(expires_at, 0), seq"),
    ] {
        let ascending = order(key);
        assert_eq!(ascending.len(), 250);
        assert_eq!(all(&format!("?sort={sort}")), ascending, "{sort}");
        let descending: Vec<_> = ascending.into_iter().rev().collect();
        assert_eq!(all(&format!("?sort=-{sort}")), descending, "-{sort}");
    }
    assert_eq!(all(""), all("?sort=-created"));
    assert_eq!(all("?sort=nonsense&after=nonsense"), all(""));
    assert_eq!(all("?sort=last-used&show=never-used").len(), 83);
    assert_eq!(all("?sort=-expires&name=a-").len(), 84);
    let head = browser.get("/tokens?sort=name").expect(200).text;
    assert!(
        head.contains("aria-sort=\"ascending\"><a href=\"/console/tokens?sort=-name\">Name"),
        "{head}"
    );
}

fn filters_and_search_select_tokens(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let made = |name: &str, days: Option<i64>| {
        let expires = days.map(|days| env.clock.seconds_from_now(days * 86_400));
        app.new_token(&json!({ "name": name, "expiresAt": expires })).1
    };
    made("Old Value", None);
    let used = made("100% used", None);
    made("ends soon", Some(110));
    made("is over", Some(10));
    app.new_legacy_token(&json!({ "name": "legacy_one" }));
    env.clock.advance(Duration::from_hours(24));
    app.get(&format!("{TOKENS}/self"), Auth::Key(&used)).expect(200);
    env.clock.advance(Duration::from_hours(24 * 92));
    browser.sign_in(ADMIN.0, ADMIN.1).expect(303);
    made("fresh", None);
    let shown = |query: &str| names(&browser.get(&format!("/tokens?sort=created&{query}")).expect(200));
    for (query, expected) in [
        (
            "show=active",
            &["Old Value", "100% used", "ends soon", "legacy_one", "fresh"][..],
        ),
        ("show=expired", &["is over"]),
        ("show=expiring", &["ends soon"]),
        (
            "show=never-used",
            &["Old Value", "ends soon", "is over", "legacy_one", "fresh"],
        ),
        (
            "show=unused",
            &["Old Value", "100% used", "ends soon", "is over", "legacy_one"],
        ),
        ("show=rotation-due", &["Old Value", "100% used", "ends soon", "is over"]),
        ("show=legacy", &["legacy_one"]),
        ("name=OLD", &["Old Value"]),
        ("name=%25", &["100% used"]),
        ("name=_", &["legacy_one"]),
        ("name=e&show=legacy", &["legacy_one"]),
    ] {
        assert_eq!(shown(query), expected, "{query}");
    }
    let none = browser.get("/tokens?name=nothing%00such").expect(200).text;
    assert!(none.contains("No token matches") && !none.contains("haven&#39;t"));
    browser.get("/tokens?shwo=legacy").expect(400);
    let list = browser.get("/tokens").expect(200).text;
    let badges = |name: &str| {
        let row = between(&list, &format!("\">{name}</a>"), "</th>");
        let badges = row.split("<span class=\"badge ").skip(1);
        badges.map(|badge| between(badge, "\">", "</span>")).collect::<Vec<_>>()
    };
    assert_eq!(badges("Old Value"), ["Never used", "Rotation due"]);
    assert_eq!(badges("100% used"), ["Unused for 90 days", "Rotation due"]);
    assert_eq!(badges("is over"), ["Expired", "Never used", "Rotation due"]);
    assert_eq!(badges("legacy_one"), ["Legacy", "Never used"]);
}

fn the_search_ignores_the_case_of_all_letters(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    for name in ["\u{c4}pfel Rot", "\u{e4}pfel gelb", "Apfel", "한국어 토큰", "Σ \u{e4}"] {
        app.new_token(&json!({ "name": name }));
    }
    for (searched, found) in [
        ("\u{e4}PFEL", &["\u{c4}pfel Rot", "\u{e4}pfel gelb"][..]),
        ("\u{c4}pfel", &["\u{c4}pfel Rot", "\u{e4}pfel gelb"]),
        ("\u{c4}PFEL rOT", &["\u{c4}pfel Rot"]),
        ("Σ \u{e4}", &["Σ \u{e4}"]),
        ("apfel", &["Apfel"]),
        ("국어 토", &["한국어 토큰"]),
        ("\u{f6}", &[]),
    ] {
        let page = browser.get(&format!("/tokens?sort=created&name={}", percent_encoded(searched)));
        assert_eq!(names(&page), found, "{searched}");
    }
}

fn invalid_input_is_reported_and_kept(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let fields = [
        ("name", "  "),
        ("permission", "AlertRead"),
        ("blocks", "10.0.0.0/8 8.8.8.8"),
        ("expires", "2029-12-31T23:59"),
    ];
    let page = browser.get("/tokens/new").expect(200);
    let told = browser.submit(&page, "/tokens", &fields).expect(400);
    for part in [
        "Nothing has been saved. Please correct this:",
        "This is not a name that a token can have.",
        "One of these is not a CIDR block.",
        "8.8.8.8&#34; is not a CIDR block; write &#34;8.8.8.8/32&#34;",
        "Give a time in the future, or leave this empty.",
        "value=\"  \"",
        "10.0.0.0/8 8.8.8.8</textarea>",
        "value=\"2029-12-31T23:59\"",
        "value=\"AlertRead\" checked",
    ] {
        assert!(told.text.contains(part), "{part} in {}", told.text);
    }
    for (field, wrong) in [
        ("expires", "tomorrow"),
        ("permission", "AlertRaed"),
        ("name", &"x".repeat(256)),
    ] {
        let page = browser.get("/tokens/new").expect(200);
        let mut fields = vec![("name", "n"), (field, wrong)];
        if field == "name" {
            fields.remove(0);
        }
        browser.submit(&page, "/tokens", &fields).expect(400);
    }
    assert!(tokens(&app).is_empty());
    // What was corrected is taken.
    let right = browser.submit(&told, "/tokens", &[("name", "n")]);
    right.expect(200);
    let large = browser.submit(&page, "/tokens", &[("name", &"x".repeat(70_000))]);
    assert!(large.expect(413).text.contains("<h1>This did not work</h1>"));
    let json = [("content-type", "application/json")];
    browser.send("POST", "/tokens", &json, "{}").expect(415);
    browser.send("PUT", "/tokens", &[], "").expect(405);
    browser.get("/tokens/self").expect(404);
    browser.get("/nothing").expect(404);
    browser.get("/audit/events.xml").expect(404);
}

fn names_are_escaped(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let name = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>";
    let (id, _) = browser.create(&[("name", name)]);
    app.send("GET", LEGACY, Auth::Admin, &[("user-agent", name)], "")
        .expect(200);
    app.post(LEGACY, Auth::Admin, &json!({ "name": name })).expect(200);
    for path in [
        "/tokens".to_owned(),
        format!("/tokens?name={}", percent_encoded(name)),
        format!("/tokens/{id}"),
        format!("/tokens/{id}/rotate"),
        format!("/tokens/{id}/delete"),
        "/audit".to_owned(),
        "/legacy".to_owned(),
    ] {
        let page = browser.get(&path).expect(200).text;
        assert!(page.contains("&#60;script&#62;alert(1)"), "{path}: {page}");
        assert!(!page.contains("<script>") && !page.contains("<img"), "{path}");
    }
    for path in [
        format!("/audit?actor={}", percent_encoded(name)),
        format!("/sign-in?next={}", percent_encoded(name)),
        format!("/admins/password?name={}", percent_encoded(name)),
    ] {
        assert!(!browser.get(&path).text.contains("<script>"), "{path}");
    }
    browser
        .fill(&format!("/tokens/{id}/delete"), &[("confirm", name)])
        .expect(303);
}

fn names_are_displayed_unchanged(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let name = "of {{base_path}} and {}";
    let (id, _) = browser.create(&[("name", name)]);
    assert_eq!(names(&browser.get("/tokens").expect(200)), [name]);
    let form = browser.get(&format!("/tokens/{id}")).expect(200).text;
    assert!(form.contains(&format!("name=\"name\" value=\"{name}\"")), "{form}");
}

fn confirmation_ignores_collapsed_whitespace(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let (id, _) = browser.create(&[("name", "two  blanks\u{a0} ")]);
    let path = format!("/tokens/{id}/delete");
    for wrong in ["", " ", "twoblanks", "two"] {
        browser.fill(&path, &[("confirm", wrong)]).expect(400);
    }
    browser.fill(&path, &[("confirm", "two blanks")]).expect(303);
}

fn admins_are_added_changed_and_removed(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let add = |name: &str, password: &str, again: &str| {
        browser.fill("/admins", &[("name", name), ("password", password), ("again", again)])
    };
    for (name, password, again, status, told) in [
        ("ops", "long enough", "another one", 400, "The two passwords differ."),
        ("ops", "short", "short", 400, "A password has 8 to 1024 bytes"),
        (
            "a:b",
            "long enough",
            "long enough",
            400,
            "This is not a name that an admin can have.",
        ),
        (
            "admin",
            "long enough",
            "long enough",
            409,
            "There is already an admin of that name.",
        ),
    ] {
        let response = add(name, password, again).expect(status);
        assert!(response.text.contains(told), "{told}");
        assert!(!response.text.contains(password), "{told}");
    }
    // The page of the last admin has no form; one that is sent all the same changes nothing.
    let remove_last = |browser: &Browser<'_>, query: &str| {
        let path = format!("/admins/remove{query}");
        let page = browser.get(&path).expect(200);
        assert!(page.text.contains("The last admin cannot be removed.") && hidden_fields(&page.text).is_empty());
        let other = browser.get("/admins").expect(200);
        browser.submit(&other, &path, &[]).expect(409);
        assert!(browser.is_signed_in());
    };
    remove_last(&browser, "?name=admin");
    let name = "J\u{fc}rgen & Co";
    assert_redirects_to(&add(name, "long enough", "long enough"), "/console/admins?done=added");
    app.get(TOKENS, Auth::Basic(name, "long enough")).expect(200);
    let query = format!("?name={}", percent_encoded(name));
    let password = [("password", "even longer"), ("again", "even longer")];
    let changed = browser.fill(&format!("/admins/password{query}"), &password);
    assert_redirects_to(&changed, "/console/admins?done=password-changed");
    app.get(TOKENS, Auth::Basic(name, "long enough")).expect(401);
    app.get(TOKENS, Auth::Basic(name, "even longer")).expect(200);
    let page = browser.get("/admins").expect(200).text;
    assert!(page.contains("J\u{fc}rgen &#38; Co") && page.contains("just now"));
    // Admins who remove themselves are signed out.
    assert_redirects_to(
        &browser.fill("/admins/remove?name=admin", &[]),
        "/console/admins?done=removed",
    );
    assert!(!browser.is_signed_in());
    app.get(TOKENS, Auth::Admin).expect(401);
    browser.sign_in(name, "even longer").expect(303);
    browser.get("/admins/remove?name=admin").expect(404);
    remove_last(&browser, &query);
}

fn the_list_of_admins_is_paginated(env: &TestEnv) {
    let rows: Vec<String> = (0..10_000)
        .map(|number| format!("('user {number:05}', 'x', 0)"))
        .collect();
    env.store.execute(&format!(
        "INSERT INTO admins (name, password_hash, created_at) VALUES {}",
        rows.join(",")
    ));
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let (mut path, mut seen, mut pages) = ("/admins".to_owned(), Vec::new(), 0);
    // Enough pages to show that each one continues where the previous one ended.
    while pages < 3 {
        let page = browser.get(&path).expect(200);
        assert!(page.text.len() < 100_000, "{}", page.text.len());
        let names = page.text.split("scope=\"row\" class=\"name\">").skip(1);
        seen.extend(names.map(|rest| rest.split(['<', '\n']).next().unwrap().trim().to_owned()));
        path = next_page(&page).unwrap();
        pages += 1;
    }
    let expected = ["admin".to_owned()].into_iter();
    let expected: Vec<_> = expected
        .chain((0..299).map(|number| format!("user {number:05}")))
        .collect();
    assert_eq!(seen, expected);
    let last = browser.get("/admins?after=user%2009990").expect(200);
    assert!(last.text.contains("user 09999") && next_page(&last).is_none());
    // Each admin is found, regardless of its page.
    browser.get("/admins/remove?name=user%2009999").expect(200);
    browser.get("/admins/remove?name=user%20x").expect(404);
    let listed = Program::new(&env.store.url()).run(&["admin", "list"]);
    assert_eq!(listed.stdout.lines().count(), 10_002);
}

fn admins_who_change_each_other_do_not_deadlock(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let password = [("password", "long enough"), ("again", "long enough")];
    let [first, second] = password;
    browser.fill("/admins", &[("name", "ops"), first, second]).expect(303);
    let other = Browser::new(&app);
    other.sign_in("ops", "long enough").expect(303);
    let race = |[one, two]: [(&Browser<'_>, &str); 2]| {
        let call = |browser: &Browser<'_>, path: &str| {
            let key = hidden_fields(&browser.get(path).expect(200).text).remove(0).1;
            let body = format!("formKey={key}&password=even+longer&again=even+longer");
            (
                format!("/console{path}"),
                format!("tokenbridge_session={}", browser.key()),
                body,
            )
        };
        let calls = [call(one.0, one.1), call(two.0, two.1)];
        let url = env.store.url();
        let mut holder = PgConnection::establish(&url).unwrap();
        // Both begin, and wait.
        holder
            .batch_execute("BEGIN; SELECT name FROM admins FOR SHARE")
            .unwrap();
        std::thread::scope(|scope| {
            let sent = calls.each_ref().map(|(path, cookie, body)| {
                let form = "application/x-www-form-urlencoded";
                let headers = [("content-type", form), ("cookie", cookie)];
                let client: &Client = &app;
                scope.spawn(move || client.send("POST", path, Auth::Anonymous, &headers, body))
            });
            wait_until("both wait", || {
                let waiting = "SELECT 'x' AS found FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
                (env.store.texts(waiting).len() == 2).then_some(())
            });
            holder.batch_execute("COMMIT").unwrap();
            sent.map(|thread| thread.join().unwrap())
        })
    };
    for response in race([
        (&browser, "/admins/password?name=ops"),
        (&other, "/admins/password?name=admin"),
    ]) {
        response.expect(303);
    }
    for name in ["admin", "ops"] {
        let in_again = if name == "ops" { &other } else { &browser };
        in_again.cookies.borrow_mut().clear();
        // The second one was already signed out.
        let passwords = ["even longer", "long enough", ADMIN.1];
        assert!(
            passwords
                .iter()
                .any(|password| in_again.sign_in(name, password).status == 303),
            "{name}"
        );
    }
    let responses = race([
        (&browser, "/admins/remove?name=ops"),
        (&other, "/admins/remove?name=admin"),
    ]);
    let locations = responses.map(|response| response.expect(303).header("location").unwrap().to_owned());
    assert!(
        locations.contains(&"/console/admins?done=removed".to_owned()),
        "{locations:?}"
    );
    assert_eq!(env.store.texts("SELECT name AS found FROM admins").len(), 1);
}

fn the_audit_page_filters_and_downloads(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let (id, _) = browser.create(&[("name", "first")]);
    env.clock.advance(Duration::from_mins(5));
    browser
        .fill(&format!("/tokens/{id}"), &[("name", "second")])
        .expect(303);
    app.new_token(&json!({ "name": "other, \"quoted\"" }));
    let rows = |query: &str| {
        let page = browser.get(&format!("/audit{query}")).expect(200).text;
        page.matches("<th role=\"rowheader\" scope=\"row\"").count()
    };
    let all = rows("");
    for (query, expected) in [
        ("?channel=console", 2),
        ("?action=token.updated", 1),
        (&*format!("?token={id}"), 2),
        ("?actor=admin", 3),
        ("?actor=unknown", 0),
        ("?since=2030-01-01T00:05", 2),
        ("?until=2030-01-01T00:05:00&channel=console", 1),
    ] {
        assert_eq!(rows(query), expected, "{query}");
    }
    let page = browser.get("/audit?channel=console").expect(200).text;
    assert!(page.contains("<li>name: first → second</li>"), "{page}");
    for wrong in ["?token=x", "?since=yesterday", "?channel=window", "?actor=%00"] {
        let told = browser.get(&format!("/audit{wrong}")).expect(400);
        assert!(told.text.contains("This filter cannot be used:"), "{wrong}");
        assert!(!told.text.contains("expiresAt"), "{wrong}: {}", told.text);
        browser.get(&format!("/audit/events.csv{wrong}")).expect(400);
    }

    let csv = browser.get("/audit/events.csv?channel=console").expect(200);
    assert!(csv.header("content-type").unwrap().starts_with("text/csv"));
    assert_eq!(
        csv.header("content-disposition"),
        Some("attachment; filename=\"audit-events.csv\"")
    );
    assert_eq!(csv.text.lines().count(), 3);
    let downloaded = browser.get("/audit/events.json").expect(200);
    assert_eq!(downloaded.json().as_array().unwrap().len(), all);
    assert_eq!(
        browser.get("/audit/events.json?actor=unknown").expect(200).json(),
        json!([])
    );
    // More than are read at once.
    env.store.execute(
        "INSERT INTO audit_events (at, channel, action, details)
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2500)
         SELECT 1000 * n, 'verify', 'login.refused', '{}' FROM n",
    );
    let many = browser.get("/audit/events.json").expect(200).json();
    assert_eq!(many.as_array().unwrap().len(), all + 2500);
    assert_eq!(many[0]["action"], "token.created");
    let (mut path, mut seen) = ("/audit?channel=verify".to_owned(), 0);
    loop {
        let page = browser.get(&path).expect(200);
        seen += page.text.matches("<th role=\"rowheader\" scope=\"row\"").count();
        match next_page(&page) {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(seen, 2500);
    Browser::new(&app).get("/audit/events.csv").expect(303);
}

fn the_legacy_page_gives_a_verdict(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let page = || browser.get("/legacy").expect(200).text;
    let fresh = page();
    assert!(fresh.contains("Not observed long enough") && fresh.contains("Days watched: 0 of the last 30."));
    let watch = |from: i64| {
        let rows: Vec<String> = (from - 30..=from).map(|day| format!("({day}, 16777215)")).collect();
        env.store.execute(&format!(
            "DELETE FROM legacy_watch; INSERT INTO legacy_watch (day, hours) VALUES {}",
            rows.join(",")
        ));
    };
    watch(21_915);
    let never = page();
    assert!(never.contains("Safe to switch off") && never.contains("No calls on record."));
    assert!(never.contains("Every token has a value.") && never.contains("The legacy API is on."));
    app.new_legacy_token(&json!({ "name": "agent-1" }));
    for _ in 0..2 {
        app.send("GET", LEGACY, Auth::Admin, &[("user-agent", "Chef/18")], "")
            .expect(200);
    }
    let in_use = page();
    for part in [
        "Still in use",
        "3 calls in the last 30 days, the last one just now. Contact these callers first:",
        "<li>admin from 127.0.0.1 (3×, the last time just now)</li>",
        "GET /rest/agent-config/1.0",
        "Chef/18",
        "<title>2030-01-01, calls: 3</title>",
        "<title>2029-12-03, calls: 0</title>",
        "Tokens that have no value yet: 1.",
        "agent-1",
    ] {
        assert!(in_use.contains(part), "{part} in {in_use}");
    }
    assert_eq!(in_use.matches("<rect class=\"ground\"").count(), 30);
    env.clock.advance(Duration::from_hours(31 * 24));
    browser.sign_in(ADMIN.0, ADMIN.1).expect(303);
    assert!(page().contains("Not observed long enough"));
    watch(21_915 + 31);
    let quiet = page();
    assert!(quiet.contains("Some tokens have no value yet") && !quiet.contains("Safe to switch off"));
    assert!(quiet.contains("No calls in the last 30 days. The last call was 1 month ago."));
    drop(browser);
    app.stop();
    let app = env.app_with(&["--legacy", "read-only", "--legacy-sunset", "2031-01-01"]);
    let browser = Browser::signed_in(&app);
    let page = browser.get("/legacy").expect(200).text;
    assert!(
        page.contains("The legacy API is read-only. Its announced end is 2031-01-01 00:00:00 UTC."),
        "{page}"
    );
}

fn the_console_is_translated_into_korean(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let korean = [("accept-language", "ko-KR,ko;q=0.9,en;q=0.5")];
    let page = browser.send("GET", "/tokens", &korean, "").expect(200).text;
    assert!(page.contains("<html lang=\"ko\">") && page.contains("아직 생성한 토큰이 없습니다"));
    assert!(page.contains("href=\"/console/tokens?lang=en\" lang=\"en\""));
    let chosen = browser.send("GET", "/audit?channel=cli&lang=en", &korean, "");
    assert_redirects_to(&chosen, "/console/audit?channel=cli");
    let page = browser.send("GET", "/tokens", &korean, "").expect(200).text;
    assert!(page.contains("<html lang=\"en\">"));
    assert_redirects_to(&browser.get("/tokens?lang=ko"), "/console/tokens");
    for path in ["/tokens/new", "/admins", "/audit", "/legacy", "/nothing"] {
        let page = browser.get(path).text;
        assert!(page.contains("<html lang=\"ko\">"), "{path}");
    }
    assert_redirects_to(&browser.get("/tokens?lang=xx"), "/console/tokens");
    assert!(browser.get("/tokens").expect(200).text.contains("<html lang=\"ko\">"));
}

fn pages_have_a_strict_content_security_policy(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    for path in [
        "/tokens",
        "/tokens/new",
        "/admins",
        "/audit",
        "/legacy",
        "/nothing",
        "/audit?channel=x",
    ] {
        let page = browser.get(path);
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(page.header(name), Some(value), "{path}: {name}");
        }
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
            "{path}"
        );
        assert!(!policy.contains("unsafe"), "{path}");
        // Nothing in a page is what that policy forbids.
        for forbidden in [" style=", " onclick=", "<style", "javascript:"] {
            assert!(!page.text.contains(forbidden), "{path}: {forbidden}");
        }
    }
    for file in ["console.css", "console.js"] {
        app.get(&format!("/console/assets/{file}"), Auth::Anonymous).expect(200);
    }
    app.get("/console/assets/base.html", Auth::Anonymous).expect(404);
}

fn the_console_honors_the_context_path(env: &TestEnv) {
    let app = env.app_with(&["--base-path", "/bamboo"]);
    assert_redirects_to(&app.get("", Auth::Anonymous), "/bamboo/console/tokens");
    assert_redirects_to(&app.get("/", Auth::Anonymous), "/bamboo/console/tokens");
    assert_redirects_to(
        &app.get("/console/admins", Auth::Anonymous),
        "/bamboo/console/sign-in?next=%2Fadmins",
    );
    let browser = Browser::new(&app);
    let form = browser.get("/sign-in?next=%2Fadmins").expect(200);
    assert!(form.header("set-cookie").unwrap().contains("Path=/bamboo/console"));
    let signed_in = browser.submit(&form, "/sign-in", &[("name", ADMIN.0), ("password", ADMIN.1)]);
    assert_redirects_to(&signed_in, "/bamboo/console/admins");
    for path in ["/tokens", "/tokens/new", "/admins", "/audit", "/legacy"] {
        let page = browser.get(path).expect(200).text;
        assert!(
            !page.contains("\"/console") && !page.contains("\"/public"),
            "{path}: {page}"
        );
    }
    let (_, value) = browser.create(&[("name", "n")]);
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    // The redirect target is below the console, regardless of the link.
    let stranger = Browser::new(&app);
    let form = stranger.get("/sign-in?next=https%3A%2F%2Fevil.example").expect(200);
    let signed_in = stranger.submit(&form, "/sign-in", &[("name", ADMIN.0), ("password", ADMIN.1)]);
    assert_redirects_to(&signed_in, "/bamboo/console/tokens");
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

fn a_locked_store_is_reported(env: &TestEnv) {
    let app = env.app_with(&["--database-timeout-seconds", "1"]);
    let browser = Browser::signed_in(&app);
    let page = browser.get("/tokens/new").expect(200);
    let told = {
        let url = env.store.url();
        let mut other: Box<dyn SimpleConnection> = match url.strip_prefix("sqlite:") {
            Some(path) => Box::new(sqlite(path)),
            None => Box::new(PgConnection::establish(&url).unwrap()),
        };
        let lock = match env.kind {
            StoreKind::Sqlite => "BEGIN IMMEDIATE",
            StoreKind::Postgres => "BEGIN; LOCK TABLE tokens",
        };
        other.batch_execute(lock).unwrap();
        browser.submit(&page, "/tokens", &[("name", "n")])
    };
    assert_eq!(told.status, 503, "{told:?}");
    assert!(told.header("retry-after").is_some());
    assert!(
        told.text
            .contains("The store does not answer. What you sent may have been done all the same"),
        "{told:?}"
    );
    browser.submit(&page, "/tokens", &[("name", "n")]).expect(200);
    assert_eq!(tokens(&app).len(), 1);
}

fn console_log_lines_contain_no_secrets(env: &TestEnv) {
    let server = Program::new(&env.store.url()).serve(&[]);
    let browser = Browser::signed_in(&server.client);
    Browser::new(&server.client)
        .sign_in("secret-name", "secret-password")
        .expect(403);
    browser.get("/tokens?name=secret-query").expect(200);
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
