//! Failed logins: what they cost those who fail, and nobody else.

use std::{
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use clap::Parser;
use tokenbridge::{
    domain::{
        actor::{Door, Origin},
        clock::Clock,
    },
    service::Error,
    startup,
};

use crate::{
    support::{
        ADMIN, Flags, Lab, TestApp, TestRandom,
        client::{As, LEGACY, TOKENS},
    },
    tests,
};

tests![
    the_same_wrong_password_counts_once,
    a_recent_login_is_not_locked_out_by_others_failures,
    a_known_name_is_not_held_up_by_failures_of_other_names,
    a_first_login_is_held_up_by_failures_of_other_names_but_not_refused,
    a_changed_password_is_not_taken_for_the_wrong_one_that_it_was,
    a_login_counts_when_its_client_has_left,
];

/// Fails a login of that name with another password each time, none of which is hashed: no password is this long.
fn fail(app: &TestApp, name: &str) -> u16 {
    static FAILED: AtomicU32 = AtomicU32::new(0);
    let password = format!("{:1025}", FAILED.fetch_add(1, Ordering::SeqCst));
    app.get(TOKENS, As::Basic(name, &password)).status
}

fn the_same_wrong_password_counts_once(lab: &Lab) {
    let app = lab.app();
    for _ in 0..30 {
        app.get(LEGACY, As::Basic(ADMIN.0, "of yesterday")).expect(401);
        app.get(LEGACY, As::Basic("nobody", "of yesterday")).expect(401);
    }
    // It is counted again once it has not been shown for a minute.
    for _ in 0..10 {
        lab.clock.advance(Duration::from_mins(1));
        app.get(LEGACY, As::Basic(ADMIN.0, "of yesterday")).expect(401);
    }
    for n in 0..9 {
        app.get(LEGACY, As::Basic(ADMIN.0, &format!("guess {n}"))).expect(401);
    }
    app.get(LEGACY, As::Admin).expect(429);
}

fn a_recent_login_is_not_locked_out_by_others_failures(lab: &Lab) {
    let app = lab.app();
    app.get(LEGACY, As::Admin).expect(200);
    for n in 0..10 {
        app.get(LEGACY, As::Basic(ADMIN.0, &format!("guess {n}"))).expect(401);
    }
    app.get(LEGACY, As::Basic(ADMIN.0, "one more")).expect(429);
    while fail(&app, "nobody") == 401 {}
    // Each use makes it recent again.
    for _ in 0..5 {
        lab.clock.advance(Duration::from_secs(50));
        while fail(&app, ADMIN.0) == 401 {}
        app.get(LEGACY, As::Admin).expect(200);
        app.get(TOKENS, As::Admin).expect(200);
    }
}

fn a_known_name_is_not_held_up_by_failures_of_other_names(lab: &Lab) {
    let app = lab.app();
    app.get(LEGACY, As::Admin).expect(200);
    // The password has to be hashed again.
    lab.clock.advance(Duration::from_mins(2));
    let failed = (0..150).filter(|n| fail(&app, &format!("nobody {n}")) == 401).count();
    assert!((100..110).contains(&failed), "{failed}");
    app.get(LEGACY, As::Admin).expect(200);
    assert_eq!(fail(&app, "nobody else"), 429);
}

fn a_first_login_is_held_up_by_failures_of_other_names_but_not_refused(lab: &Lab) {
    let app = lab.app();
    for n in 0..100 {
        assert_eq!(fail(&app, &format!("nobody {n}")), 401);
    }
    app.get(LEGACY, As::Admin).expect(200);
}

fn a_changed_password_is_not_taken_for_the_wrong_one_that_it_was(lab: &Lab) {
    let app = lab.app();
    app.get(LEGACY, As::Basic(ADMIN.0, "the next one")).expect(401);
    let program = crate::support::program::Program::new(&lab.store.url());
    let changed = program.run_with_input(&["admin", "passwd", ADMIN.0, "--password-stdin"], "the next one\n");
    assert_eq!(changed.code, 0, "{changed:?}");
    app.get(LEGACY, As::Basic(ADMIN.0, "the next one")).expect(200);
    app.get(LEGACY, As::Admin).expect(401);
}

fn a_login_counts_when_its_client_has_left(lab: &Lab) {
    let flags = Flags::parse_from(["tokenbridge", "--database-url", &lab.store.url()]);
    let clock = Arc::clone(&lab.clock) as Arc<dyn Clock>;
    let service = startup::open_service_with(&flags.serve.store, false, clock, Arc::new(TestRandom)).unwrap();
    let origin = Origin {
        door: Door::ApiTokens,
        client: Some(IpAddr::from([192, 0, 2, 1])),
    };
    let counted = || -> usize {
        let details = lab
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
