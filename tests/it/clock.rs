//! Sets the wall clock while the server runs: no client is locked out, and no record is removed.

use std::time::Duration;

use serde_json::json;
use tokenbridge::domain::{
    actor::{Door, Origin},
    caller::Call,
};

use crate::{
    support::{
        ADMIN, Lab, TestApp,
        client::{As, LEGACY, TOKENS, string},
        time,
    },
    tests,
};

const DAY: Duration = Duration::from_hours(24);

tests![
    a_throttled_login_waits_as_long_as_it_was_told,
    a_jump_forward_removes_nothing,
    a_start_with_a_clock_that_is_ahead_removes_nothing,
    a_last_use_of_a_clock_that_was_ahead_is_bounded,
    a_last_legacy_call_of_a_clock_that_was_ahead_is_bounded,
    a_grace_period_of_a_clock_that_was_ahead_ends,
    a_grace_period_before_a_clock_was_set_back_ends,
    grace_periods_of_a_clock_that_was_ahead_do_not_stop_rotations,
    a_session_lasts_as_long_as_it_may,
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
    // Verified credentials stay cached for a minute, regardless of the wall clock.
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

/// Returns the number of audit events and of days with legacy calls.
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
        // Records from the creation of the store have the machine's real time, which is earlier.
        assert_eq!(remove().await, 1);
        let all = kept(lab);
        lab.clock.step_forward(DAY * 4000);
        assert_eq!(remove().await, 0);
        lab.clock.advance(DAY * 9);
        assert_eq!((remove().await, kept(lab)), (0, all));
        // Time that was seen to pass counts, as does a wall clock that is corrected.
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

fn a_last_use_of_a_clock_that_was_ahead_is_bounded(lab: &Lab) {
    let app = lab.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let last_use =
        |app: &TestApp| app.get(&format!("{TOKENS}/{id}"), As::Admin).expect(200).json()["lastUsedAt"].clone();
    let use_it = |app: &TestApp| app.get(&format!("{TOKENS}/self"), As::Key(&value)).expect(200);
    lab.clock.step_forward(DAY * 365);
    use_it(&app);
    lab.clock.step_back(DAY * 365);
    assert_eq!(last_use(&app), lab.clock.in_seconds(0));
    app.stop();
    let app = lab.app();
    assert_eq!(last_use(&app), lab.clock.in_seconds(0));
    assert_eq!(
        app.get(TOKENS, As::Admin).json()["results"][0]["lastUsedAt"],
        lab.clock.in_seconds(0)
    );
    lab.clock.advance(Duration::from_secs(1));
    use_it(&app);
    app.stop();
    let stored = lab.store.texts("SELECT last_used_at || '' AS found FROM tokens");
    assert_eq!(stored, [time(&lab.clock.in_seconds(0)).micros().to_string()]);
}

fn a_last_legacy_call_of_a_clock_that_was_ahead_is_bounded(lab: &Lab) {
    let metric = |app: &TestApp| {
        let now = time(&lab.clock.in_seconds(0)).seconds();
        let prefix = "prefix=\"/rest/agent-config/1.0\"";
        let series = format!("tokenbridge_legacy_last_request_timestamp_seconds{{{prefix}}} {now}\n");
        let text = app.get("/metrics", As::Nobody).expect(200).text;
        assert!(text.contains(&series), "{series}: {text}");
    };
    let app = lab.app();
    lab.clock.step_forward(DAY * 365);
    app.get(LEGACY, As::Admin).expect(200);
    metric(&app);
    app.stop();
    lab.clock.step_back(DAY * 365);
    let app = lab.app();
    metric(&app);
    let shown = app.get("/legacy-usage", As::Admin).expect(200).json();
    assert_eq!(shown["callers"][0]["lastSeen"], lab.clock.in_seconds(0), "{shown}");
    lab.clock.advance(Duration::from_secs(1));
    app.get(LEGACY, As::Admin).expect(200);
    metric(&app);
    app.stop();
    let stored = lab.store.texts("SELECT last_seen || '' AS found FROM legacy_callers");
    assert_eq!(stored, [time(&lab.clock.in_seconds(0)).micros().to_string()]);
}

fn rotate(app: &TestApp, id: &str, seconds: u32) -> String {
    let body = json!({ "gracePeriodSeconds": seconds });
    let rotated = app.post(&format!("{TOKENS}/{id}/rotate"), As::Admin, &body).expect(200);
    string(&rotated.json()["value"])
}

fn a_grace_period_of_a_clock_that_was_ahead_ends(lab: &Lab) {
    let app = lab.app();
    let (id, old) = app.new_token(&json!({ "name": "n" }));
    lab.clock.step_forward(DAY * 365);
    let new = rotate(&app, &id, 60);
    lab.clock.step_back(DAY * 365);
    let status = |value: &str| app.get(&format!("{TOKENS}/self"), As::Key(value)).status;
    assert_eq!((status(&old), status(&new)), (200, 200));
    lab.clock.advance(Duration::from_secs(59));
    assert_eq!(status(&old), 200);
    lab.clock.advance(Duration::from_secs(1));
    assert_eq!((status(&old), status(&new)), (401, 200));
}

fn a_grace_period_before_a_clock_was_set_back_ends(lab: &Lab) {
    let app = lab.app();
    let (id, old) = app.new_token(&json!({ "name": "n" }));
    rotate(&app, &id, 3600);
    lab.clock.step_back(DAY * 365);
    let status = || app.get(&format!("{TOKENS}/self"), As::Key(&old)).status;
    assert_eq!(status(), 200);
    lab.clock.advance(Duration::from_hours(1));
    assert_eq!(status(), 401);
}

fn grace_periods_of_a_clock_that_was_ahead_do_not_stop_rotations(lab: &Lab) {
    let app = lab.app();
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    lab.clock.step_forward(DAY * 365);
    for _ in 0..10 {
        rotate(&app, &id, 60);
    }
    lab.clock.step_back(DAY * 365);
    let body = json!({ "gracePeriodSeconds": 60 });
    let path = format!("{TOKENS}/{id}/rotate");
    app.post(&path, As::Admin, &body).expect(200);
}

fn a_session_lasts_as_long_as_it_may(lab: &Lab) {
    let service = lab.service();
    let origin = Origin {
        door: Door::Console,
        client: None,
    };
    actix_web::rt::System::new().block_on(async {
        let begin = async || {
            let caller = service
                .authenticate_admin(ADMIN.0, ADMIN.1.into(), origin)
                .await
                .unwrap();
            service.begin_session(Call { caller, origin }, None).await.unwrap()
        };
        let (key, idle) = (begin().await, begin().await);
        let lasts = async |key| service.resume_session(key).await.unwrap().is_some();
        for _ in 0..2 {
            lab.clock.step_forward(DAY * 2);
            // A login removes expired sessions.
            begin().await;
            assert!(lasts(&key).await);
            lab.clock.step_back(DAY * 4);
            assert!(lasts(&key).await);
        }
        lab.clock.advance(Duration::from_mins(30));
        assert!(!lasts(&idle).await);
        assert!(!lasts(&key).await);
        // The wall clock stands still, but the session still ends.
        let key = begin().await;
        for _ in 0..35 {
            lab.clock.advance(Duration::from_mins(20));
            lab.clock.step_back(Duration::from_mins(20));
            assert!(lasts(&key).await);
        }
        lab.clock.advance(Duration::from_mins(20));
        assert!(!lasts(&key).await);
        // A restart judges by the wall clock: a session cannot start in the future.
        let key = begin().await;
        lab.clock.step_back(DAY);
        let restarted = lab.service();
        assert!(restarted.resume_session(&key).await.unwrap().is_none());
        assert!(lasts(&key).await);
    });
}
