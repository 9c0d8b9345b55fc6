//! The wall clock is set while the server runs: nobody is locked out, and nothing is removed.

use std::time::Duration;

use serde_json::json;

use crate::{
    support::{
        ADMIN, Lab,
        client::{As, LEGACY, TOKENS},
    },
    tests,
};

const DAY: Duration = Duration::from_hours(24);

tests![
    a_throttled_login_waits_as_long_as_it_was_told,
    a_jump_forward_removes_nothing,
    a_start_with_a_clock_that_is_ahead_removes_nothing,
];

fn a_throttled_login_waits_as_long_as_it_was_told(lab: &Lab) {
    let app = lab.app();
    let fail = || {
        for n in 0..10 {
            app.get(LEGACY, As::Basic(ADMIN.0, &format!("guess {n}"))).expect(401);
        }
        app.get(LEGACY, As::Admin).expect(429);
    };
    fail();
    lab.clock.step_forward(DAY);
    app.get(LEGACY, As::Admin).expect(429);
    lab.clock.step_back(DAY * 2);
    app.get(LEGACY, As::Admin).expect(429);
    lab.clock.advance(Duration::from_secs(6));
    app.get(LEGACY, As::Admin).expect(200);
    // What was verified is remembered for a minute, whatever the wall clock says.
    lab.clock.step_back(DAY);
    lab.clock.advance(Duration::from_mins(1));
    fail();
}

fn fill(lab: &Lab) {
    let app = lab.app();
    app.new_token(&json!({ "name": "n" }));
    app.get(LEGACY, As::Admin).expect(200);
    app.get(TOKENS, As::Key("wrong")).expect(401);
    app.stop();
}

/// The numbers of audit events and of days with legacy calls.
fn kept(lab: &Lab) -> String {
    let kept = "SELECT (SELECT count(*) FROM audit_events) || ' ' || (SELECT count(*) FROM legacy_calls) AS found";
    lab.store.texts(kept).remove(0)
}

fn a_jump_forward_removes_nothing(lab: &Lab) {
    fill(lab);
    let all = kept(lab);
    let service = lab.service();
    actix_web::rt::System::new().block_on(async {
        service.begin_retention().await.unwrap();
        let remove = async || {
            service.forget_old_calls().await.unwrap();
            service.remove_events_older_than(DAY * 10, None).await.unwrap()
        };
        // What the machine's own clock wrote when the store was made is older.
        assert_eq!(remove().await, 1);
        let all = kept(lab);
        lab.clock.step_forward(DAY * 4000);
        assert_eq!(remove().await, 0);
        lab.clock.advance(DAY * 9);
        assert_eq!((remove().await, kept(lab)), (0, all));
        // Time that has been seen to pass counts, and a clock that is put right again does, too.
        lab.clock.advance(DAY + Duration::from_secs(1));
        assert!(remove().await > 0);
        lab.clock.step_back(DAY * 4000);
        lab.clock.advance(DAY * 391);
        remove().await;
        assert_eq!(kept(lab), "0 0");
    });
    assert_ne!(all, kept(lab));
}

fn a_start_with_a_clock_that_is_ahead_removes_nothing(lab: &Lab) {
    fill(lab);
    lab.clock.step_forward(DAY * 4000);
    let service = lab.service();
    actix_web::rt::System::new().block_on(async {
        service.begin_retention().await.unwrap();
        assert_eq!(service.remove_events_older_than(DAY * 10, None).await.unwrap(), 1);
        let all = kept(lab);
        service.forget_old_calls().await.unwrap();
        assert_eq!(kept(lab), all);
    });
}
