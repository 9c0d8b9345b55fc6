//! Two servers on one store: a value that one has revoked is refused by the other.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    support::{
        ADMIN, MAX_REVOCATION_DELAY, TestApp, TestEnv,
        client::{Auth, TOKENS},
        cluster::Cluster,
        program::Program,
        wait_for_refusal, wait_until,
    },
    tests,
};

tests![
    a_revocation_reaches_other_replicas_within_a_second,
    a_revocation_by_the_command_line_takes_effect_within_a_second,
    a_resumed_server_trusts_no_cache_entry,
    a_manual_change_in_the_database_is_noticed,
];
tests![
    POSTGRES_TESTS: announced_revocations_take_effect_within_a_second,
    unannounced_revocations_take_effect_within_a_second,
    announcements_of_another_store_are_ignored
];

/// The revocations: name, method, path after the token's, and body.
fn revocations() -> [(&'static str, &'static str, &'static str, Value); 4] {
    [
        ("delete", "DELETE", "", Value::Null),
        ("rotate", "POST", "/rotate", json!({})),
        ("disable", "POST", "", json!({ "disabled": true })),
        ("update", "POST", "", json!({ "allowedCIDRBlocks": ["10.0.0.0/8"] })),
    ]
}

/// Returns `true` if the value still authenticates, even if its token is already deleted (404).
fn is_accepted(app: &TestApp, value: &str) -> bool {
    app.get(&format!("{TOKENS}/self"), Auth::Key(value)).status != 401
}

/// Creates a token on one server, lets the other one cache it, revokes it on the first, and measures how long the other
/// accepts it.
fn measure_delay(one: &TestApp, other: &TestApp, (_, method, behind, body): &(&str, &str, &str, Value)) -> Duration {
    let (id, value) = one.new_token(&json!({ "name": "n", "permissions": [] }));
    assert!(is_accepted(other, &value) && is_accepted(other, &value));
    let headers = [("content-type", "application/json")];
    let path = format!("{TOKENS}/{id}{behind}");
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let response = one.send(method, &path, Auth::Admin, &headers, &body);
    let answered = Instant::now();
    assert!(response.status < 300, "{response:?}");
    assert!(!is_accepted(one, &value), "the server itself refuses at once");
    wait_for_refusal(answered, || is_accepted(other, &value))
}

/// Prints the median and the maximum delay of this many trials of each revocation.
pub fn measure_delays(what: &str, one: &TestApp, other: &TestApp, trials: usize) {
    for revocation in revocations() {
        let mut delays: Vec<Duration> = (0..trials).map(|_| measure_delay(one, other, &revocation)).collect();
        delays.sort_unstable();
        let (median, last) = (delays[trials / 2], delays[trials - 1]);
        println!(
            "{what}, {}: refused by the other server after {median:?} (median of {trials}), {last:?} (longest)",
            revocation.0
        );
    }
}

fn a_revocation_reaches_other_replicas_within_a_second(env: &TestEnv) {
    measure_delays(&format!("two servers on {}", env.kind), &env.app(), &env.app(), 25);
}

fn announced_revocations_take_effect_within_a_second(env: &TestEnv) {
    measure_delays("postgres, announced", &env.app(), &env.app(), 200);
}

fn unannounced_revocations_take_effect_within_a_second(env: &TestEnv) {
    // Changes are announced in their own database; a listener in another one receives nothing.
    let elsewhere = Cluster::shared_url("postgres");
    let deaf = env.app_with(&["--notify-database-url", &elsewhere]);
    measure_delays("postgres, announcements cut", &env.app(), &deaf, 40);
}

/// A server that receives another store's announcements, here because it listens in that database, ignores them.
fn announcements_of_another_store_are_ignored(env: &TestEnv) {
    let [ours, theirs] = [env.store.fresh_url(), env.store.fresh_url()];
    for url in [&ours, &theirs] {
        let added = Program::new(url).run_with_input(&["admin", "add", ADMIN.0, "--password-stdin"], ADMIN.1);
        assert_eq!(added.exit_code, 0, "{added:?}");
    }
    let (one, foreign) = (env.app_on(&ours, &[]), env.app_on(&theirs, &[]));
    let other = env.app_on(&ours, &["--notify-database-url", &theirs]);
    for _ in 0..4 {
        let (id, value) = one.new_token(&json!({ "name": "n" }));
        let (foreign_id, _) = foreign.new_token(&json!({ "name": "n" }));
        for app in [&one, &other] {
            assert!(is_accepted(app, &value) && is_accepted(app, &value));
        }
        // Both stores have the same revision, and the other one announces its next change just before ours.
        foreign
            .delete(&format!("{TOKENS}/{foreign_id}"), Auth::Admin)
            .expect(204);
        // Time for the foreign announcement to arrive first. If it is late, the test is weaker, never wrong.
        std::thread::sleep(Duration::from_millis(40));
        one.delete(&format!("{TOKENS}/{id}"), Auth::Admin).expect(204);
        assert!(!is_accepted(&one, &value));
        wait_for_refusal(Instant::now(), || is_accepted(&other, &value));
    }
}

fn a_revocation_by_the_command_line_takes_effect_within_a_second(env: &TestEnv) {
    let app = env.app();
    let program = Program::new(&env.store.url());
    for command in ["delete", "disable", "delete", "disable"] {
        let (id, value) = app.new_token(&json!({ "name": "n" }));
        assert!(is_accepted(&app, &value) && is_accepted(&app, &value));
        assert_eq!(program.run(&["token", command, &id]).exit_code, 0);
        wait_for_refusal(Instant::now(), || is_accepted(&app, &value));
    }
}

/// A process that was stopped for a while does not know how long; it must poll before it uses the cache.
fn a_resumed_server_trusts_no_cache_entry(env: &TestEnv) {
    let app = env.app();
    let stopped = Program::new(&env.store.url()).serve(&[]);
    for _ in 0..3 {
        let (id, value) = app.new_token(&json!({ "name": "n" }));
        let path = format!("{TOKENS}/self");
        for _ in 0..2 {
            stopped.client.get(&path, Auth::Key(&value)).expect(200);
        }
        // Stopping the server during that write would block all other writes.
        let written = format!("SELECT id AS found FROM tokens WHERE id = '{id}' AND last_used_at IS NOT NULL");
        wait_until("its use is written", || {
            (!env.store.texts(&written).is_empty()).then_some(())
        });
        stopped.signal("STOP");
        app.delete(&format!("{TOKENS}/{id}"), Auth::Admin).expect(204);
        // The limit counts from the response to the revocation. The resumed server must refuse later requests.
        std::thread::sleep(MAX_REVOCATION_DELAY);
        stopped.signal("CONT");
        stopped.client.get(&path, Auth::Key(&value)).expect(401);
    }
}

fn a_manual_change_in_the_database_is_noticed(env: &TestEnv) {
    let app = env.app();
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    assert!(is_accepted(&app, &value) && is_accepted(&app, &value));
    env.store.execute("DELETE FROM tokens");
    wait_until("it is refused", || {
        (app.get(TOKENS, Auth::Key(&value)).status == 401).then_some(())
    });
}
