//! Sets the wall clock while the server runs: no client is locked out, and no record is removed.

use std::time::Duration;

use serde_json::json;
use tokenbridge::domain::{
    actor::{Channel, Origin},
    caller::Call,
};

use crate::{
    support::{
        ADMIN, TestApp, TestEnv,
        client::{Auth, LEGACY, TOKENS, string},
        time,
    },
    tests,
};

const DAY: Duration = Duration::from_hours(24);

tests![
    a_throttled_login_succeeds_after_retry_after,
    a_forward_clock_jump_deletes_nothing,
    starting_with_a_clock_ahead_deletes_nothing,
    a_last_use_recorded_by_a_clock_ahead_is_bounded,
    a_last_legacy_call_recorded_by_a_clock_ahead_is_bounded,
    a_grace_period_started_by_a_clock_ahead_ends,
    a_grace_period_ends_after_the_clock_is_set_back,
    grace_periods_started_by_a_clock_ahead_do_not_block_rotations,
    clock_changes_do_not_change_session_lifetimes,
];

fn a_throttled_login_succeeds_after_retry_after(env: &TestEnv) {
    let app = env.app();
    let fail = || {
        for n in 0..10 {
            app.get(LEGACY, Auth::Basic(ADMIN.0, &format!("guess {n}"))).expect(401);
        }
        app.get(LEGACY, Auth::Admin).expect(429);
    };
    fail();
    env.clock.step_forward(DAY);
    app.get(LEGACY, Auth::Admin).expect(429);
    env.clock.step_back(DAY * 2);
    app.get(LEGACY, Auth::Admin).expect(429);
    env.clock.advance(Duration::from_secs(6));
    app.get(LEGACY, Auth::Admin).expect(200);
    // Verified credentials stay cached for a minute, regardless of the wall clock.
    env.clock.step_back(DAY);
    env.clock.advance(Duration::from_mins(1));
    fail();
}

fn fill(env: &TestEnv) {
    let app = env.app();
    app.new_token(&json!({ "name": "n" }));
    app.get(LEGACY, Auth::Admin).expect(200);
    app.get(TOKENS, Auth::Key("wrong")).expect(401);
    app.stop();
}

/// Returns the number of audit events and of days with legacy calls.
fn kept(env: &TestEnv) -> String {
    let kept = "SELECT (SELECT count(*) FROM audit_events) || ' ' || (SELECT count(*) FROM legacy_calls) AS found";
    env.store.texts(kept).remove(0)
}

fn a_forward_clock_jump_deletes_nothing(env: &TestEnv) {
    fill(env);
    let all = kept(env);
    let service = env.service();
    actix_web::rt::System::new().block_on(async {
        service.begin_retention().await.unwrap();
        let remove = async || {
            service.delete_old_calls().await.unwrap();
            service.delete_events_older_than(DAY * 10, None).await.unwrap()
        };
        // Records from the creation of the store have the machine's real time, which is earlier.
        assert_eq!(remove().await, 1);
        let all = kept(env);
        env.clock.step_forward(DAY * 4000);
        assert_eq!(remove().await, 0);
        env.clock.advance(DAY * 9);
        assert_eq!((remove().await, kept(env)), (0, all));
        // Observed time counts, and so does a corrected wall clock.
        env.clock.advance(DAY + Duration::from_secs(1));
        assert!(remove().await > 0);
        env.clock.step_back(DAY * 4000);
        env.clock.advance(DAY * 391);
        remove().await;
        assert_eq!(kept(env), "0 0");
    });
    assert_ne!(all, kept(env));
}

fn starting_with_a_clock_ahead_deletes_nothing(env: &TestEnv) {
    fill(env);
    env.clock.step_forward(DAY * 4000);
    let service = env.service();
    actix_web::rt::System::new().block_on(async {
        service.begin_retention().await.unwrap();
        assert_eq!(service.delete_events_older_than(DAY * 10, None).await.unwrap(), 1);
        let all = kept(env);
        service.delete_old_calls().await.unwrap();
        assert_eq!(kept(env), all);
    });
}

fn a_last_use_recorded_by_a_clock_ahead_is_bounded(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let last_use =
        |app: &TestApp| app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(200).json()["lastUsedAt"].clone();
    let use_it = |app: &TestApp| app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    env.clock.step_forward(DAY * 365);
    use_it(&app);
    env.clock.step_back(DAY * 365);
    assert_eq!(last_use(&app), env.clock.seconds_from_now(0));
    app.stop();
    let app = env.app();
    assert_eq!(last_use(&app), env.clock.seconds_from_now(0));
    assert_eq!(
        app.get(TOKENS, Auth::Admin).json()["results"][0]["lastUsedAt"],
        env.clock.seconds_from_now(0)
    );
    env.clock.advance(Duration::from_secs(1));
    use_it(&app);
    app.stop();
    let stored = env.store.texts("SELECT last_used_at || '' AS found FROM tokens");
    assert_eq!(stored, [time(&env.clock.seconds_from_now(0)).micros().to_string()]);
}

fn a_last_legacy_call_recorded_by_a_clock_ahead_is_bounded(env: &TestEnv) {
    let metric = |app: &TestApp| {
        let now = time(&env.clock.seconds_from_now(0)).seconds();
        let prefix = "prefix=\"/rest/agent-config/1.0\"";
        let series = format!("tokenbridge_legacy_last_request_timestamp_seconds{{{prefix}}} {now}\n");
        let text = app.get("/metrics", Auth::Anonymous).expect(200).text;
        assert!(text.contains(&series), "{series}: {text}");
    };
    let app = env.app();
    env.clock.step_forward(DAY * 365);
    app.get(LEGACY, Auth::Admin).expect(200);
    metric(&app);
    app.stop();
    env.clock.step_back(DAY * 365);
    let app = env.app();
    metric(&app);
    let shown = app.get("/legacy-usage", Auth::Admin).expect(200).json();
    assert_eq!(
        shown["callers"][0]["lastSeen"],
        env.clock.seconds_from_now(0),
        "{shown}"
    );
    env.clock.advance(Duration::from_secs(1));
    app.get(LEGACY, Auth::Admin).expect(200);
    metric(&app);
    app.stop();
    let stored = env.store.texts("SELECT last_seen || '' AS found FROM legacy_callers");
    assert_eq!(stored, [time(&env.clock.seconds_from_now(0)).micros().to_string()]);
}

fn rotate(app: &TestApp, id: &str, seconds: u32) -> String {
    let body = json!({ "gracePeriodSeconds": seconds });
    let rotated = app
        .post(&format!("{TOKENS}/{id}/rotate"), Auth::Admin, &body)
        .expect(200);
    string(&rotated.json()["value"])
}

fn a_grace_period_started_by_a_clock_ahead_ends(env: &TestEnv) {
    let app = env.app();
    let (id, old) = app.new_token(&json!({ "name": "n" }));
    env.clock.step_forward(DAY * 365);
    let new = rotate(&app, &id, 60);
    env.clock.step_back(DAY * 365);
    let status = |value: &str| app.get(&format!("{TOKENS}/self"), Auth::Key(value)).status;
    assert_eq!((status(&old), status(&new)), (200, 200));
    env.clock.advance(Duration::from_secs(59));
    assert_eq!(status(&old), 200);
    env.clock.advance(Duration::from_secs(1));
    assert_eq!((status(&old), status(&new)), (401, 200));
}

fn a_grace_period_ends_after_the_clock_is_set_back(env: &TestEnv) {
    let app = env.app();
    let (id, old) = app.new_token(&json!({ "name": "n" }));
    rotate(&app, &id, 3600);
    env.clock.step_back(DAY * 365);
    let status = || app.get(&format!("{TOKENS}/self"), Auth::Key(&old)).status;
    assert_eq!(status(), 200);
    env.clock.advance(Duration::from_hours(1));
    assert_eq!(status(), 401);
}

fn grace_periods_started_by_a_clock_ahead_do_not_block_rotations(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    env.clock.step_forward(DAY * 365);
    for _ in 0..10 {
        rotate(&app, &id, 60);
    }
    env.clock.step_back(DAY * 365);
    let body = json!({ "gracePeriodSeconds": 60 });
    let path = format!("{TOKENS}/{id}/rotate");
    app.post(&path, Auth::Admin, &body).expect(200);
}

fn clock_changes_do_not_change_session_lifetimes(env: &TestEnv) {
    let service = env.service();
    let origin = Origin {
        channel: Channel::Console,
        client: None,
    };
    actix_web::rt::System::new().block_on(async {
        let begin = async || {
            let caller = service
                .authenticate_admin(ADMIN.0, ADMIN.1.into(), origin)
                .await
                .unwrap();
            service
                .begin_session(Call { caller, origin }, String::new(), None)
                .await
                .unwrap()
        };
        let (key, idle) = (begin().await, begin().await);
        let lasts = async |key| service.resume_session(key).await.unwrap().is_some();
        for _ in 0..2 {
            env.clock.step_forward(DAY * 2);
            // A login removes expired sessions.
            begin().await;
            assert!(lasts(&key).await);
            env.clock.step_back(DAY * 4);
            assert!(lasts(&key).await);
        }
        env.clock.advance(Duration::from_mins(30));
        assert!(!lasts(&idle).await);
        assert!(!lasts(&key).await);
        // The wall clock stands still, but the session still ends.
        let key = begin().await;
        for _ in 0..35 {
            env.clock.advance(Duration::from_mins(20));
            env.clock.step_back(Duration::from_mins(20));
            assert!(lasts(&key).await);
        }
        env.clock.advance(Duration::from_mins(20));
        assert!(!lasts(&key).await);
        // A restart judges by the wall clock: a session cannot start in the future.
        let key = begin().await;
        env.clock.step_back(DAY);
        let restarted = env.service();
        assert!(restarted.resume_session(&key).await.unwrap().is_none());
        assert!(lasts(&key).await);
    });
}
