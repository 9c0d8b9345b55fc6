//! Failed logins and their effects on the client that fails and on other clients.

use std::{
    net::IpAddr,
    pin::pin,
    sync::atomic::{AtomicU32, Ordering},
    task::{Context, Waker},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokenbridge::{
    domain::{
        actor::{Channel, Origin},
        audit::Action,
    },
    service::Error,
};

use crate::{
    support::{
        ADMIN, TestApp, TestEnv,
        client::{Auth, LEGACY, TOKENS},
        program::Program,
    },
    tests,
};

tests![
    the_same_wrong_password_counts_once,
    failures_of_others_do_not_lock_out_a_recent_login,
    failures_of_other_names_do_not_delay_a_known_name,
    failures_of_other_names_delay_a_first_login_without_rejecting_it,
    a_password_that_was_wrong_works_once_it_is_set,
    a_login_counts_after_the_client_disconnects,
    credentials_in_latin_1_are_accepted,
    unreadable_credentials_are_counted_and_audited,
    a_flood_of_rejected_logins_writes_few_audit_events,
    rejected_logins_have_a_separate_retention,
];

/// Fails logins of a name with different passwords that exceed the maximum length and so are never hashed.
fn fail(app: &TestApp, name: &str) -> u16 {
    static FAILED: AtomicU32 = AtomicU32::new(0);
    let password = format!("{:1025}", FAILED.fetch_add(1, Ordering::SeqCst));
    app.get(TOKENS, Auth::Basic(name, &password)).status
}

/// Returns the details of the audit events of refused logins.
fn refused(env: &TestEnv) -> Vec<Value> {
    let details = env
        .store
        .texts("SELECT details AS found FROM audit_events WHERE action = 'login.refused' ORDER BY seq");
    details.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

fn count(details: &Value) -> u64 {
    details["count"].as_u64().unwrap()
}

fn the_same_wrong_password_counts_once(env: &TestEnv) {
    let app = env.app();
    for _ in 0..30 {
        app.get(LEGACY, Auth::Basic(ADMIN.0, "of yesterday")).expect(401);
        app.get(LEGACY, Auth::Basic("unknown", "of yesterday")).expect(401);
    }
    // It is counted again a minute after its last use.
    for _ in 0..10 {
        env.clock.advance(Duration::from_mins(1));
        app.get(LEGACY, Auth::Basic(ADMIN.0, "of yesterday")).expect(401);
    }
    for n in 0..9 {
        app.get(LEGACY, Auth::Basic(ADMIN.0, &format!("guess {n}"))).expect(401);
    }
    app.get(LEGACY, Auth::Admin).expect(429);
}

fn failures_of_others_do_not_lock_out_a_recent_login(env: &TestEnv) {
    let app = env.app();
    app.get(LEGACY, Auth::Admin).expect(200);
    for n in 0..10 {
        app.get(LEGACY, Auth::Basic(ADMIN.0, &format!("guess {n}"))).expect(401);
    }
    app.get(LEGACY, Auth::Basic(ADMIN.0, "one more")).expect(429);
    while fail(&app, "unknown") == 401 {}
    // Each use extends its lifetime.
    for _ in 0..5 {
        env.clock.advance(Duration::from_secs(50));
        while fail(&app, ADMIN.0) == 401 {}
        app.get(LEGACY, Auth::Admin).expect(200);
        app.get(TOKENS, Auth::Admin).expect(200);
    }
}

fn failures_of_other_names_do_not_delay_a_known_name(env: &TestEnv) {
    let app = env.app();
    app.get(LEGACY, Auth::Admin).expect(200);
    // The password must be hashed again.
    env.clock.advance(Duration::from_mins(2));
    let failed = (0..150).filter(|n| fail(&app, &format!("unknown {n}")) == 401).count();
    assert!((100..110).contains(&failed), "{failed}");
    app.get(LEGACY, Auth::Admin).expect(200);
    assert_eq!(fail(&app, "another name"), 429);
}

fn failures_of_other_names_delay_a_first_login_without_rejecting_it(env: &TestEnv) {
    let app = env.app();
    for n in 0..100 {
        assert_eq!(fail(&app, &format!("unknown {n}")), 401);
    }
    app.get(LEGACY, Auth::Admin).expect(200);
}

fn a_password_that_was_wrong_works_once_it_is_set(env: &TestEnv) {
    let app = env.app();
    app.get(LEGACY, Auth::Basic(ADMIN.0, "the next one")).expect(401);
    let program = Program::new(&env.store.url());
    let changed = program.run_with_input(&["admin", "passwd", ADMIN.0, "--password-stdin"], "the next one\n");
    assert_eq!(changed.exit_code, 0, "{changed:?}");
    app.get(LEGACY, Auth::Basic(ADMIN.0, "the next one")).expect(200);
    app.get(LEGACY, Auth::Admin).expect(401);
}

fn a_login_counts_after_the_client_disconnects(env: &TestEnv) {
    let service = env.service();
    let origin = Origin {
        channel: Channel::ApiTokens,
        client: Some(IpAddr::from([192, 0, 2, 1])),
    };
    let counted = || -> usize {
        let details = env
            .store
            .texts("SELECT details AS found FROM audit_events WHERE action = 'login.refused'");
        let count = |text: &String| {
            serde_json::from_str::<serde_json::Value>(text).unwrap()["count"]
                .as_u64()
                .unwrap()
        };
        details.iter().map(count).sum::<u64>().try_into().unwrap()
    };
    actix_web::rt::System::new().block_on(async {
        for n in 0..10 {
            let password = format!("guess {n}").into();
            let mut login = pin!(service.authenticate_admin(ADMIN.0, password, origin));
            let polled = login.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
        }
        for _ in 0..3000 {
            service.flush().await.unwrap();
            if counted() == 10 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(counted(), 10);
        let refused = service.authenticate_admin(ADMIN.0, ADMIN.1.into(), origin).await;
        assert!(matches!(refused, Err(Error::Throttled { .. })));
    });
}

fn credentials_in_latin_1_are_accepted(env: &TestEnv) {
    let (name, password) = ("J\u{fc}rgen", "p\u{e4}ssw\u{f6}rd \u{a3}\u{ff}");
    let program = Program::new(&env.store.url());
    let added = program.run_with_input(&["admin", "add", name, "--password-stdin"], password);
    assert_eq!(added.exit_code, 0, "{added:?}");
    let app = env.app();
    let latin_1 = |password: &str| {
        let pair = format!("{name}:{password}");
        let bytes: Vec<u8> = pair.chars().map(|letter| u8::try_from(letter).unwrap()).collect();
        format!("Basic {}", BASE64_STANDARD.encode(bytes))
    };
    for path in [LEGACY, TOKENS, "/audit-events"] {
        for (authorization, status) in [(latin_1(password), 200), (latin_1("p\u{e4}ssword"), 401)] {
            let headers = [("authorization", authorization.as_str())];
            app.send("GET", path, Auth::Anonymous, &headers, "").expect(status);
        }
        app.get(path, Auth::Basic(name, password)).expect(200);
    }
}

fn unreadable_credentials_are_counted_and_audited(env: &TestEnv) {
    let app = env.app();
    let no_colon = format!("Basic {}", BASE64_STANDARD.encode("no colon"));
    let control = format!("Basic {}", BASE64_STANDARD.encode("admin:\u{7}"));
    let one_token = format!("{LEGACY}/7ba167aa-631c-4771-b197-fcb459cc7fd7");
    let mut sent = 0;
    for path in [LEGACY, &one_token, TOKENS, "/audit-events"] {
        for authorization in ["Basic", "Basic %%%", &no_colon, &control] {
            let headers = [("authorization", authorization)];
            let refused = app.send("GET", path, Auth::Anonymous, &headers, "").expect(401);
            assert_eq!(
                refused.message(),
                "the credentials are malformed",
                "{path} {authorization}"
            );
            sent += 1;
        }
    }
    let headers = [("authorization", "Bearer")];
    app.send("GET", "/verify", Auth::Anonymous, &headers, "").expect(401);
    app.send("GET", TOKENS, Auth::Anonymous, &headers, "").expect(401);
    let metrics = app.get("/metrics", Auth::Anonymous).expect(200).text;
    for (kind, number) in [("password", sent), ("value", 2)] {
        let series = format!("tokenbridge_authentications_total{{kind=\"{kind}\",outcome=\"wrong\"}} {number}\n");
        assert!(metrics.contains(&series), "{series}: {metrics}");
    }
    app.stop();
    let refused = refused(env);
    assert_eq!(refused.iter().map(count).sum::<u64>(), sent + 2, "{refused:?}");
    assert!(
        refused
            .iter()
            .all(|details| details["reason"] == "the credentials are malformed"),
        "{refused:?}"
    );
}

fn a_flood_of_rejected_logins_writes_few_audit_events(env: &TestEnv) {
    let app = env.app_with(&["--trusted-proxy", "127.0.0.1"]);
    for n in 0..400_u32 {
        let address = IpAddr::from((0xc612_0000 + n).to_be_bytes()).to_string();
        let of_one_network = format!("2001:db8::{n:x}");
        for client in [&address, &of_one_network] {
            let headers = [("x-forwarded-for", client.as_str())];
            app.send("GET", TOKENS, Auth::Key("wrong"), &headers, "").expect(401);
        }
    }
    app.get(TOKENS, Auth::Basic(ADMIN.0, "wrong")).expect(401);
    app.stop();
    let refused = refused(env);
    assert_eq!(refused.iter().map(count).sum::<u64>(), 801, "{refused:?}");
    let beyond: Vec<_> = refused
        .iter()
        .filter(|details| details["reason"].as_str().unwrap().starts_with("refused logins beyond"))
        .collect();
    // At most two: one that was due, and one at shutdown.
    assert!((1..=2).contains(&beyond.len()) && refused.len() <= 303, "{refused:?}");
    assert!(refused.iter().any(|details| details["admin"] == ADMIN.0));
}

fn rejected_logins_have_a_separate_retention(env: &TestEnv) {
    let app = env.app();
    app.new_token(&json!({ "name": "n" }));
    app.get(TOKENS, Auth::Key("wrong")).expect(401);
    app.stop();
    let service = env.service();
    actix_web::rt::System::new().block_on(async {
        service.begin_retention().await.unwrap();
        let age = Duration::from_hours(24);
        let remove = async || {
            service
                .delete_events_older_than(age, Some(Action::LoginRefused))
                .await
                .unwrap()
        };
        env.clock.advance(age);
        assert_eq!(remove().await, 0, "one day is not more than one day");
        env.clock.advance(Duration::from_secs(1));
        assert_eq!(remove().await, 1);
    });
    assert!(refused(env).is_empty());
    let rest = env.store.texts("SELECT action AS found FROM audit_events ORDER BY seq");
    assert!(rest.contains(&"token.created".to_owned()), "{rest:?}");
}
