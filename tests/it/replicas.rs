//! Two servers over one store: what one has revoked, the other refuses.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    support::{
        ADMIN, Lab, TestApp,
        client::{As, TOKENS},
        cluster::Cluster,
        eventually,
        program::Program,
    },
    tests,
};

tests![
    what_one_revokes_the_other_refuses_within_a_second,
    what_the_command_line_revokes_is_refused_within_a_second,
    a_server_that_was_stopped_believes_nothing,
    a_change_by_hand_is_noticed,
];
tests![
    OF_SERVERS: announcements_make_it_milliseconds,
    without_announcements_it_takes_a_poll,
    anothers_announcements_do_not_mislead
];

/// The longest that a revoked value may be accepted by another server.
const PROMISE: Duration = Duration::from_secs(1);

/// The ways to revoke: what they are called, the method, the path behind the token's, and the body.
fn revocations() -> [(&'static str, &'static str, &'static str, Value); 3] {
    [
        ("delete", "DELETE", "", Value::Null),
        ("rotate", "POST", "/rotate", json!({})),
        ("update", "POST", "", json!({ "allowedCIDRBlocks": ["10.0.0.0/8"] })),
    ]
}

/// Whether the value still authenticates: its token may be gone all the same.
fn works(app: &TestApp, value: &str) -> bool {
    app.get(&format!("{TOKENS}/self"), As::Key(value)).status != 401
}

/// Makes a token on one server, lets the other one get to know it, revokes it on the first, and measures how long the other goes on.
fn delay(one: &TestApp, other: &TestApp, (_, method, behind, body): &(&str, &str, &str, Value)) -> Duration {
    let (id, value) = one.new_token(&json!({ "name": "n", "permissions": [] }));
    assert!(works(other, &value) && works(other, &value));
    let headers = [("content-type", "application/json")];
    let path = format!("{TOKENS}/{id}{behind}");
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let answer = one.send(method, &path, As::Admin, &headers, &body);
    let answered = Instant::now();
    assert!(answer.status < 300, "{answer:?}");
    assert!(!works(one, &value), "the server itself refuses at once");
    loop {
        let asked = answered.elapsed();
        if !works(other, &value) {
            return asked;
        }
        assert!(
            asked < PROMISE,
            "still accepted {asked:?} after the revocation was answered"
        );
    }
}

/// The median and the longest delay of so many trials of each revocation.
fn delays(what: &str, one: &TestApp, other: &TestApp, trials: usize) -> Duration {
    let mut longest = Duration::ZERO;
    for revocation in revocations() {
        let mut delays: Vec<Duration> = (0..trials).map(|_| delay(one, other, &revocation)).collect();
        delays.sort_unstable();
        let (median, last) = (delays[trials / 2], delays[trials - 1]);
        println!(
            "{what}, {}: refused by the other server after {median:?} (median of {trials}), {last:?} (longest)",
            revocation.0
        );
        longest = longest.max(last);
    }
    longest
}

fn what_one_revokes_the_other_refuses_within_a_second(lab: &Lab) {
    let longest = delays(&format!("two servers on {}", lab.kind), &lab.app(), &lab.app(), 25);
    assert!(longest < PROMISE);
}

fn announcements_make_it_milliseconds(lab: &Lab) {
    let longest = delays("postgres, announced", &lab.app(), &lab.app(), 200);
    assert!(longest < PROMISE);
}

fn without_announcements_it_takes_a_poll(lab: &Lab) {
    // Changes are announced in their own database; whoever listens in another hears nothing.
    let elsewhere = Cluster::shared_url("postgres");
    let deaf = lab.app_with(&["--notify-database-url", &elsewhere]);
    let longest = delays("postgres, announcements cut", &lab.app(), &deaf, 40);
    assert!(longest < PROMISE);
}

/// A server that hears another store's announcements, here because it was told to listen in its database, does not count them as its own.
fn anothers_announcements_do_not_mislead(lab: &Lab) {
    let [ours, theirs] = [lab.store.fresh_url(), lab.store.fresh_url()];
    for url in [&ours, &theirs] {
        let added = Program::new(url).run_with_input(&["admin", "add", ADMIN.0, "--password-stdin"], ADMIN.1);
        assert_eq!(added.code, 0, "{added:?}");
    }
    let (one, foreign) = (lab.app_on(&ours, &[]), lab.app_on(&theirs, &[]));
    let other = lab.app_on(&ours, &["--notify-database-url", &theirs]);
    for _ in 0..4 {
        let (id, value) = one.new_token(&json!({ "name": "n" }));
        let (foreign_id, _) = foreign.new_token(&json!({ "name": "n" }));
        for app in [&one, &other] {
            assert!(works(app, &value) && works(app, &value));
        }
        // Both stores have counted as far, and the other one's next change is announced just before ours.
        foreign.delete(&format!("{TOKENS}/{foreign_id}"), As::Admin).expect(204);
        std::thread::sleep(Duration::from_millis(40));
        one.delete(&format!("{TOKENS}/{id}"), As::Admin).expect(204);
        assert!(!works(&one, &value));
        let answered = Instant::now();
        eventually("it is refused", || (!works(&other, &value)).then_some(()));
        assert!(answered.elapsed() < PROMISE, "{:?}", answered.elapsed());
    }
}

fn what_the_command_line_revokes_is_refused_within_a_second(lab: &Lab) {
    let app = lab.app();
    let program = Program::new(&lab.store.url());
    for _ in 0..5 {
        let (id, value) = app.new_token(&json!({ "name": "n" }));
        assert!(works(&app, &value) && works(&app, &value));
        assert_eq!(program.run(&["token", "delete", &id]).code, 0);
        let ended = Instant::now();
        eventually("it is refused", || (!works(&app, &value)).then_some(()));
        assert!(ended.elapsed() < PROMISE, "{:?}", ended.elapsed());
    }
}

/// A process that was stopped for a while does not know how long; it must ask before it believes.
fn a_server_that_was_stopped_believes_nothing(lab: &Lab) {
    let app = lab.app();
    let stopped = Program::new(&lab.store.url()).serve(&[]);
    for _ in 0..3 {
        let (id, value) = app.new_token(&json!({ "name": "n" }));
        let path = format!("{TOKENS}/self");
        for _ in 0..2 {
            stopped.client.get(&path, As::Key(&value)).expect(200);
        }
        // Stopped while it writes that, it would keep everybody else from writing.
        let written = format!("SELECT id AS found FROM tokens WHERE id = '{id}' AND last_used_at IS NOT NULL");
        eventually("its use is written", || {
            (!lab.store.texts(&written).is_empty()).then_some(())
        });
        stopped.signal("STOP");
        app.delete(&format!("{TOKENS}/{id}"), As::Admin).expect(204);
        // The promise begins with the answer; what the stopped server is asked later than that it must refuse.
        std::thread::sleep(PROMISE);
        stopped.signal("CONT");
        stopped.client.get(&path, As::Key(&value)).expect(401);
    }
}

fn a_change_by_hand_is_noticed(lab: &Lab) {
    let app = lab.app();
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    assert!(works(&app, &value) && works(&app, &value));
    lab.store.execute("DELETE FROM tokens");
    let began = Instant::now();
    eventually("it is refused", || {
        (app.get(TOKENS, As::Key(&value)).status == 401).then_some(())
    });
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
}
