//! Metrics: what they count, and what they never show.

use serde_json::json;

use crate::{
    support::{
        TestApp, TestEnv,
        client::{Auth, Client, LEGACY, LEGACY_PRE_15, TOKENS},
        program::Program,
        wait_until,
    },
    tests,
};

tests![
    requests_are_counted_by_channel,
    authentications_are_counted_by_outcome,
    tokens_and_changes_are_shown,
    no_label_is_chosen_by_clients,
    an_unavailable_store_is_a_metric,
];
tests![SQLITE_TESTS: metrics_can_have_a_separate_listener];

const METRICS: &str = "/metrics";

/// The value of a series, written as `name{label="value"}`.
fn metric(app: &TestApp, series: &str) -> Option<f64> {
    let text = app.get(METRICS, Auth::Anonymous).expect(200).text;
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[track_caller]
fn assert_metric(app: &TestApp, series: &str, expected: f64) {
    let found = metric(app, series);
    assert!(
        found.is_some_and(|found| (found - expected).abs() < 0.5),
        "{series}: {found:?}"
    );
}

fn requests_are_counted_by_channel(env: &TestEnv) {
    let app = env.app();
    app.get(LEGACY, Auth::Admin).expect(200);
    app.get(LEGACY_PRE_15, Auth::Admin).expect(200);
    app.get("/rest/agent/latest/tokens", Auth::Anonymous).expect(401);
    app.get(TOKENS, Auth::Admin).expect(200);
    app.get("/verify", Auth::Anonymous).expect(401);
    app.get("/public/graphql", Auth::Anonymous).expect(200);
    app.get("/nothing", Auth::Anonymous).expect(404);
    for (labels, count) in [
        ("channel=\"legacy-1.0\",method=\"GET\",status=\"200\"", 1.0),
        ("channel=\"legacy-pre-1.5\",method=\"GET\",status=\"200\"", 1.0),
        ("channel=\"legacy-pre-1.5\",method=\"GET\",status=\"401\"", 1.0),
        ("channel=\"api-tokens\",method=\"GET\",status=\"200\"", 1.0),
        ("channel=\"verify\",method=\"GET\",status=\"401\"", 1.0),
        ("channel=\"graphql\",method=\"GET\",status=\"200\"", 1.0),
        ("channel=\"other\",method=\"GET\",status=\"404\"", 1.0),
    ] {
        assert_metric(&app, &format!("tokenbridge_http_requests_total{{{labels}}}"), count);
    }
    let legacy = "tokenbridge_legacy_requests_total{method=\"GET\",prefix";
    assert_metric(&app, &format!("{legacy}=\"/rest/agent-config/1.0\"}}"), 1.0);
    assert_metric(&app, &format!("{legacy}=\"/rest/agent/latest\"}}"), 1.0);
    assert_metric(&app, &format!("{legacy}=\"/rest/agent-config/latest\"}}"), 0.0);
    let took = "tokenbridge_http_request_duration_seconds_count{channel=\"legacy-pre-1.5\"}";
    assert_metric(&app, took, 2.0);
}

fn authentications_are_counted_by_outcome(env: &TestEnv) {
    let app = env.app_with(&["--legacy-uuid-auth"]);
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    let (_, elsewhere) = app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["192.0.2.0/24"] }));
    let uuid = app.new_legacy_token(&json!({ "name": "n", "read": true }));
    for _ in 0..3 {
        app.get("/verify", Auth::Key(&value)).expect(200);
    }
    app.get("/verify", Auth::Key("tbk_wrong")).expect(401);
    app.get("/verify", Auth::Key(&elsewhere)).expect(401);
    let uri = format!("/?uuid={uuid}");
    app.send("GET", "/verify", Auth::Anonymous, &[("X-Original-URI", &uri)], "")
        .expect(200);
    app.get(TOKENS, Auth::Basic("admin", "wrong")).expect(401);
    for (labels, count) in [
        ("kind=\"value\",outcome=\"accepted\"", 3.0),
        ("kind=\"value\",outcome=\"wrong\"", 1.0),
        ("kind=\"value\",outcome=\"address\"", 1.0),
        ("kind=\"value\",outcome=\"expired\"", 0.0),
        ("kind=\"legacy-uuid\",outcome=\"accepted\"", 1.0),
        ("kind=\"password\",outcome=\"accepted\"", 3.0),
        ("kind=\"password\",outcome=\"wrong\"", 1.0),
    ] {
        assert_metric(&app, &format!("tokenbridge_authentications_total{{{labels}}}"), count);
    }
    let looked_up = ["hit", "miss"].map(|outcome| {
        let series = format!("tokenbridge_cache_lookups_total{{outcome=\"{outcome}\"}}");
        metric(&app, &series).unwrap()
    });
    assert!((looked_up[0] + looked_up[1] - 5.0).abs() < 0.5, "{looked_up:?}");
}

fn tokens_and_changes_are_shown(env: &TestEnv) {
    let app = env.app();
    app.new_legacy_token(&json!({ "name": "n" }));
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    app.delete(&format!("{TOKENS}/{id}"), Auth::Admin).expect(204);
    for (state, count) in [("active", 0.0), ("legacy", 1.0), ("never-used", 1.0), ("expired", 0.0)] {
        assert_metric(&app, &format!("tokenbridge_tokens{{state=\"{state}\"}}"), count);
    }
    wait_until("the deletion is counted as a change", || {
        metric(&app, "tokenbridge_revision").filter(|revision| *revision > 0.5)
    });
    wait_until("this server is sure of it", || {
        metric(&app, "tokenbridge_revision_age_seconds").filter(|age| *age < 0.8)
    });
    let info = format!(
        "tokenbridge_build_info{{store=\"{}\",version=\"{}\"}}",
        env.kind,
        env!("CARGO_PKG_VERSION")
    );
    assert_metric(&app, &info, 1.0);
    assert_metric(&app, "tokenbridge_store_up", 1.0);
    assert_metric(&app, "tokenbridge_store_connections_max", 8.0);
}

fn no_label_is_chosen_by_clients(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "a-name-of-mine" }));
    let series = || app.get(METRICS, Auth::Anonymous).text.lines().count();
    app.send("BREW", "/", Auth::Anonymous, &[], "").expect(405);
    let before = series();
    for n in 0..50 {
        app.get(&format!("/path-{n}"), Auth::Anonymous).expect(404);
        app.send(&format!("BREW{n}"), "/", Auth::Anonymous, &[], "").expect(405);
        app.get(&format!("{TOKENS}/{id}?x-{n}"), Auth::Key(&value));
    }
    // Only the responses to the token add series.
    assert!(series() <= before + 30, "{} after {before}", series());
    let text = app.get(METRICS, Auth::Anonymous).text;
    for chosen in [&id, &value, "a-name-of-mine", "path-", "BREW"] {
        assert!(!text.contains(chosen), "{chosen}");
    }
}

fn an_unavailable_store_is_a_metric(env: &TestEnv) {
    let app = env.app();
    assert_metric(&app, "tokenbridge_store_up", 1.0);
    env.store.execute("ALTER TABLE admins RENAME TO elsewhere");
    assert_metric(&app, "tokenbridge_store_up", 0.0);
    env.store.execute("ALTER TABLE elsewhere RENAME TO admins");
    assert_metric(&app, "tokenbridge_store_up", 1.0);
}

fn metrics_can_have_a_separate_listener(env: &TestEnv) {
    let server = Program::new(&env.store.url()).serve(&["--metrics-listen", "127.0.0.1:0"]);
    server.client.get(METRICS, Auth::Anonymous).expect(404);
    let address = wait_until("the metrics are listened for", || {
        let log = server.log();
        let (_, rest) = log.split_once("serving metrics on http://")?;
        rest.split_once("/metrics")?.0.parse().ok()
    });
    let apart = Client::new(address, "");
    assert!(
        apart
            .get(METRICS, Auth::Anonymous)
            .expect(200)
            .text
            .contains("tokenbridge_build_info")
    );
    apart.get(TOKENS, Auth::Admin).expect(404);
    apart
        .send("GET", METRICS, Auth::Anonymous, &[("x-long", &"x".repeat(16_384))], "")
        .expect(431);
    server.signal("TERM");
    let (code, log) = server.wait();
    assert_eq!(code, Some(0), "{log}");
}
