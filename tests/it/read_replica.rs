//! A server with a read replica: what the replica answers, and what it does not.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    replicas::measure_delays,
    support::{
        ADMIN, TestApp, TestEnv,
        client::{Auth, Client, LEGACY, TOKENS},
        cluster::Cluster,
        program::Program,
        store, wait_for_refusal, wait_until,
    },
    tests,
};

tests![
    a_current_replica_answers_lookups_and_lists,
    a_lagging_replica_hides_no_write_and_no_revocation,
    a_frozen_or_stopped_replica_is_replaced_by_the_primary,
    a_replica_does_not_replace_a_primary_that_is_down,
    a_server_that_is_no_standby_of_the_store_is_not_read,
];

/// A primary with a store, and a hot standby.
struct Pair {
    primary: Cluster,
    standby: Cluster,
}

impl Pair {
    fn start() -> Self {
        let primary = Cluster::private().expect("the suite has one");
        let url = primary.url("postgres");
        let added = Program::new(&url).run_with_input(&["admin", "add", ADMIN.0, "--password-stdin"], ADMIN.1);
        assert_eq!(added.exit_code, 0, "{added:?}");
        let standby = primary.standby();
        Self { primary, standby }
    }

    fn app(&self, env: &TestEnv) -> TestApp {
        let replica = self.standby.url("postgres");
        env.app_on(&self.primary.url("postgres"), &["--read-database-url", &replica])
    }

    /// Waits until the standby has every write of the primary.
    fn wait_until_replicated(&self) {
        let position = "SELECT pg_current_wal_lsn() || '' AS found";
        let position = store::texts(&self.primary.url("postgres"), position).remove(0);
        let reached = format!("SELECT (pg_last_wal_replay_lsn() >= '{position}') || '' AS found");
        wait_until("the standby has every write", || {
            (store::texts(&self.standby.url("postgres"), &reached) == ["true"]).then_some(())
        });
    }
}

/// The value of a metric.
fn metric(client: &Client, series: &str) -> f64 {
    let text = client.get("/metrics", Auth::Anonymous).expect(200).text;
    let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    text.lines()
        .find_map(value)
        .unwrap_or_else(|| panic!("{series}: {text}"))
}

/// The number of reads with this outcome.
fn reads(client: &Client, outcome: &str) -> f64 {
    metric(
        client,
        &format!("tokenbridge_replica_reads_total{{outcome=\"{outcome}\"}}"),
    )
}

/// Waits until the replica has answered a list.
fn wait_until_replica_answers(client: &Client) {
    let before = reads(client, "answered");
    wait_until("the replica answers", || {
        client.get(TOKENS, Auth::Admin).expect(200);
        (reads(client, "answered") > before).then_some(())
    });
}

fn use_value(client: &Client, value: &str) -> u16 {
    client.get(&format!("{TOKENS}/self"), Auth::Key(value)).status
}

/// The IDs in the first page of each list.
fn listed(client: &Client) -> [Vec<Value>; 2] {
    let ids = |list: &Value, key: &str| {
        list.as_array()
            .unwrap()
            .iter()
            .map(|token| token[key].clone())
            .collect()
    };
    let page = client.get(TOKENS, Auth::Admin).expect(200).json();
    let legacy = client.get(LEGACY, Auth::Admin).expect(200).json();
    [ids(&page["results"], "id"), ids(&legacy, "uuid")]
}

fn a_current_replica_answers_lookups_and_lists(env: &TestEnv) {
    const LOOKUPS: usize = 200;
    let pair = Pair::start();
    let writer = env.app_on(&pair.primary.url("postgres"), &[]);
    let values: Vec<String> = (0..LOOKUPS)
        .map(|_| writer.new_token(&json!({ "name": "n" })).1)
        .collect();
    writer.stop();
    let app = pair.app(env);
    wait_until_replica_answers(&app);
    pair.wait_until_replicated();
    let before = reads(&app, "answered");
    for value in &values {
        assert_eq!(use_value(&app, value), 200);
    }
    let looked_up = reads(&app, "answered") - before;
    println!("the replica answered {looked_up} of {LOOKUPS} lookups");
    assert!(
        looked_up >= 0.5 * f64::from(u32::try_from(LOOKUPS).unwrap()),
        "{looked_up}"
    );
    for path in [LEGACY, "/audit-events", "/api-tokens?name=n"] {
        wait_until("the replica answers", || {
            let before = reads(&app, "answered");
            app.get(path, Auth::Admin).expect(200);
            (reads(&app, "answered") > before).then_some(())
        });
    }
    assert!(metric(&app, "tokenbridge_replica_up") > 0.5);
    assert!(metric(&app, "tokenbridge_replica_lag_seconds") < 30.0);
}

fn a_lagging_replica_hides_no_write_and_no_revocation(env: &TestEnv) {
    let pair = Pair::start();
    let apps = [pair.app(env), pair.app(env)];
    let [one, other] = &apps;
    wait_until_replica_answers(one);
    pair.standby.configure("recovery_min_apply_delay = '10s'");
    for _ in 0..5 {
        // It is accepted, also by another server, and listed before the replica knows it.
        let (id, value) = one.new_token(&json!({ "name": "n" }));
        assert_eq!([use_value(one, &value), use_value(other, &value)], [200, 200]);
        assert!(listed(one).iter().all(|ids| ids.contains(&json!(id))));
        one.delete(&format!("{TOKENS}/{id}"), Auth::Admin).expect(204);
        let deleted = Instant::now();
        assert_eq!(use_value(one, &value), 401);
        assert!(listed(one).iter().all(|ids| !ids.contains(&json!(id))));
        wait_for_refusal(deleted, || use_value(other, &value) == 200);
    }
    measure_delays("a replica that lags by 10 s", one, other, 5);
    wait_until("the lag is seen", || {
        one.new_token(&json!({ "name": "n" }));
        (metric(one, "tokenbridge_replica_lag_seconds") > 5.0).then_some(())
    });
    // The same store, but a second ago: the replica is not asked at all.
    let before = reads(one, "skipped");
    one.get(TOKENS, Auth::Admin).expect(200);
    assert!(reads(one, "skipped") > before);
    pair.standby.configure("recovery_min_apply_delay = 0");
    wait_until_replica_answers(one);
}

fn a_frozen_or_stopped_replica_is_replaced_by_the_primary(env: &TestEnv) {
    let pair = Pair::start();
    let apps = [pair.app(env), pair.app(env)];
    let [one, other] = &apps;
    wait_until_replica_answers(one);
    let serve = |what: &str| {
        let mut longest = Duration::ZERO;
        for _ in 0..10 {
            let began = Instant::now();
            let (id, value) = one.new_token(&json!({ "name": "n" }));
            assert_eq!(use_value(other, &value), 200);
            assert!(listed(one).iter().all(|ids| ids.contains(&json!(id))));
            longest = longest.max(began.elapsed());
        }
        println!("{what}: a creation, a lookup and two lists took {longest:?} at most");
        measure_delays(what, one, other, 5);
        wait_until("the replica counts as down", || {
            (metric(one, "tokenbridge_replica_up") < 0.5).then_some(())
        });
    };
    pair.standby.signal("STOP");
    serve("a frozen replica");
    pair.standby.signal("CONT");
    wait_until_replica_answers(one);
    pair.standby.crash();
    serve("a stopped replica");
    pair.standby.resume();
    wait_until_replica_answers(one);
    pair.standby.signal("STOP");
    // Both servers still end.
    drop(apps);
    pair.standby.signal("CONT");
}

fn a_replica_does_not_replace_a_primary_that_is_down(env: &TestEnv) {
    let pair = Pair::start();
    let app = pair.app(env);
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    wait_until_replica_answers(&app);
    pair.wait_until_replicated();
    pair.primary.crash();
    wait_until("the server cannot be sure of the value", || {
        (use_value(&app, &value) == 503).then_some(())
    });
    for path in [TOKENS, LEGACY] {
        app.get(path, Auth::Admin).expect(503);
    }
    assert_eq!(use_value(&app, &value), 503);
    pair.primary.resume();
    wait_until("the server recovers", || (use_value(&app, &value) == 200).then_some(()));
}

fn a_server_that_is_no_standby_of_the_store_is_not_read(_: &TestEnv) {
    let pair = Pair::start();
    let url = pair.primary.url("postgres");
    for database in ["other", "empty"] {
        store::execute(&url, &format!("CREATE DATABASE {database}"));
    }
    let migrated = Program::new(&pair.primary.url("other")).run(&["migrate"]);
    assert_eq!(migrated.exit_code, 0, "{migrated:?}");
    pair.wait_until_replicated();
    for (replica, reason) in [
        (url.clone(), "hot standby"),
        (format!("{url}?target_session_attrs=any"), "is not a hot standby"),
        (pair.standby.url("other"), "belongs to another store"),
        (pair.standby.url("empty"), "\"revision\" does not exist"),
        (pair.standby.url("nothing"), "\"nothing\" does not exist"),
        ("postgres://tokenbridge@127.0.0.1:1/postgres".to_owned(), "127.0.0.1"),
    ] {
        let server = Program::new(&url).serve(&["--read-database-url", &replica]);
        let client = &server.client;
        wait_until("the log says why", || server.log().contains(reason).then_some(()));
        let (id, value) = client.new_token(&json!({ "name": "n" }));
        assert_eq!(use_value(client, &value), 200);
        assert!(listed(client).iter().all(|ids| ids.contains(&json!(id))));
        assert!(metric(client, "tokenbridge_replica_up") < 0.5, "{replica}");
        assert!(reads(client, "answered") < 0.5, "{replica}");
        let warnings = server.log().matches("the read replica").count();
        assert_eq!(warnings, 1, "{}", server.log());
    }
}
