//! Metrics: what they count, and what they never show.

use serde_json::json;

use crate::{
    support::{
        Lab, TestApp,
        client::{As, Client, LEGACY, LEGACY_PRE_15, TOKENS},
        eventually,
        program::Program,
    },
    tests,
};

tests![
    requests_are_counted_by_door,
    authentications_are_counted_by_outcome,
    tokens_and_changes_are_shown,
    nothing_that_a_client_chooses_is_shown,
    a_store_that_is_gone_is_seen,
];
tests![OF_LISTENERS: they_can_have_a_listener_of_their_own];

const METRICS: &str = "/metrics";

/// The value of a series, written as `name{label="value"}`.
fn figure(app: &TestApp, series: &str) -> Option<f64> {
    let text = app.get(METRICS, As::Nobody).expect(200).text;
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[track_caller]
fn assert_figure(app: &TestApp, series: &str, expected: f64) {
    let found = figure(app, series);
    assert!(
        found.is_some_and(|found| (found - expected).abs() < 0.5),
        "{series}: {found:?}"
    );
}

fn requests_are_counted_by_door(lab: &Lab) {
    let app = lab.app();
    app.get(LEGACY, As::Admin).expect(200);
    app.get(LEGACY_PRE_15, As::Admin).expect(200);
    app.get("/rest/agent/latest/tokens", As::Nobody).expect(401);
    app.get(TOKENS, As::Admin).expect(200);
    app.get("/verify", As::Nobody).expect(401);
    app.get("/public/graphql", As::Nobody).expect(200);
    app.get("/nothing", As::Nobody).expect(404);
    for (labels, count) in [
        ("door=\"legacy-1.0\",method=\"GET\",status=\"200\"", 1.0),
        ("door=\"legacy-pre-1.5\",method=\"GET\",status=\"200\"", 1.0),
        ("door=\"legacy-pre-1.5\",method=\"GET\",status=\"401\"", 1.0),
        ("door=\"api-tokens\",method=\"GET\",status=\"200\"", 1.0),
        ("door=\"verify\",method=\"GET\",status=\"401\"", 1.0),
        ("door=\"graphql\",method=\"GET\",status=\"200\"", 1.0),
        ("door=\"other\",method=\"GET\",status=\"404\"", 1.0),
    ] {
        assert_figure(&app, &format!("tokenbridge_http_requests_total{{{labels}}}"), count);
    }
    let legacy = "tokenbridge_legacy_requests_total{method=\"GET\",prefix";
    assert_figure(&app, &format!("{legacy}=\"/rest/agent-config/1.0\"}}"), 1.0);
    assert_figure(&app, &format!("{legacy}=\"/rest/agent/latest\"}}"), 1.0);
    assert_figure(&app, &format!("{legacy}=\"/rest/agent-config/latest\"}}"), 0.0);
    let took = "tokenbridge_http_request_duration_seconds_count{door=\"legacy-pre-1.5\"}";
    assert_figure(&app, took, 2.0);
}

fn authentications_are_counted_by_outcome(lab: &Lab) {
    let app = lab.app_with(&["--legacy-uuid-auth"]);
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    let (_, elsewhere) = app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["192.0.2.0/24"] }));
    let uuid = app.new_legacy_token(&json!({ "name": "n", "read": true }));
    for _ in 0..3 {
        app.get("/verify", As::Key(&value)).expect(200);
    }
    app.get("/verify", As::Key("tbk_wrong")).expect(401);
    app.get("/verify", As::Key(&elsewhere)).expect(401);
    let uri = format!("/?uuid={uuid}");
    app.send("GET", "/verify", As::Nobody, &[("X-Original-URI", &uri)], "")
        .expect(200);
    app.get(TOKENS, As::Basic("admin", "wrong")).expect(401);
    for (labels, count) in [
        ("kind=\"value\",outcome=\"accepted\"", 3.0),
        ("kind=\"value\",outcome=\"wrong\"", 1.0),
        ("kind=\"value\",outcome=\"address\"", 1.0),
        ("kind=\"value\",outcome=\"expired\"", 0.0),
        ("kind=\"legacy-uuid\",outcome=\"accepted\"", 1.0),
        ("kind=\"password\",outcome=\"accepted\"", 3.0),
        ("kind=\"password\",outcome=\"wrong\"", 1.0),
    ] {
        assert_figure(&app, &format!("tokenbridge_authentications_total{{{labels}}}"), count);
    }
    let looked_up = ["hit", "miss"].map(|outcome| {
        let series = format!("tokenbridge_cache_lookups_total{{outcome=\"{outcome}\"}}");
        figure(&app, &series).unwrap()
    });
    assert!((looked_up[0] + looked_up[1] - 5.0).abs() < 0.5, "{looked_up:?}");
}

fn tokens_and_changes_are_shown(lab: &Lab) {
    let app = lab.app();
    app.new_legacy_token(&json!({ "name": "n" }));
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    app.delete(&format!("{TOKENS}/{id}"), As::Admin).expect(204);
    for (state, count) in [("active", 1.0), ("legacy", 1.0), ("never-used", 1.0), ("expired", 0.0)] {
        assert_figure(&app, &format!("tokenbridge_tokens{{state=\"{state}\"}}"), count);
    }
    eventually("the deletion is counted as a change", || {
        figure(&app, "tokenbridge_revision").filter(|revision| *revision > 0.5)
    });
    eventually("this server is sure of it", || {
        figure(&app, "tokenbridge_revision_age_seconds").filter(|age| *age < 0.8)
    });
    let info = format!(
        "tokenbridge_build_info{{store=\"{}\",version=\"{}\"}}",
        lab.kind,
        env!("CARGO_PKG_VERSION")
    );
    assert_figure(&app, &info, 1.0);
    assert_figure(&app, "tokenbridge_store_up", 1.0);
    assert_figure(&app, "tokenbridge_store_connections_max", 8.0);
}

fn nothing_that_a_client_chooses_is_shown(lab: &Lab) {
    let app = lab.app();
    let (id, value) = app.new_token(&json!({ "name": "a-name-of-mine" }));
    let series = || app.get(METRICS, As::Nobody).text.lines().count();
    app.send("BREW", "/", As::Nobody, &[], "").expect(405);
    let before = series();
    for n in 0..50 {
        app.get(&format!("/path-{n}"), As::Nobody).expect(404);
        app.send(&format!("BREW{n}"), "/", As::Nobody, &[], "").expect(405);
        app.get(&format!("{TOKENS}/{id}?x-{n}"), As::Key(&value));
    }
    // The answers to the token are the only ones of a new kind.
    assert!(series() <= before + 30, "{} after {before}", series());
    let text = app.get(METRICS, As::Nobody).text;
    for chosen in [&id, &value, "a-name-of-mine", "path-", "BREW"] {
        assert!(!text.contains(chosen), "{chosen}");
    }
}

fn a_store_that_is_gone_is_seen(lab: &Lab) {
    let app = lab.app();
    assert_figure(&app, "tokenbridge_store_up", 1.0);
    lab.store.execute("ALTER TABLE admins RENAME TO elsewhere");
    assert_figure(&app, "tokenbridge_store_up", 0.0);
    lab.store.execute("ALTER TABLE elsewhere RENAME TO admins");
    assert_figure(&app, "tokenbridge_store_up", 1.0);
}

fn they_can_have_a_listener_of_their_own(lab: &Lab) {
    let serving = Program::new(&lab.store.url()).serve(&["--metrics-listen", "127.0.0.1:0"]);
    serving.client.get(METRICS, As::Nobody).expect(404);
    let address = eventually("the metrics are listened for", || {
        let log = serving.log();
        let (_, rest) = log.split_once("metrics alone on http://")?;
        rest.split_once("/metrics")?.0.parse().ok()
    });
    let apart = Client::new(address, "");
    assert!(
        apart
            .get(METRICS, As::Nobody)
            .expect(200)
            .text
            .contains("tokenbridge_build_info")
    );
    apart.get(TOKENS, As::Admin).expect(404);
    apart
        .send("GET", METRICS, As::Nobody, &[("x-long", &"x".repeat(16_384))], "")
        .expect(431);
    serving.signal("TERM");
    let (code, log) = serving.wait();
    assert_eq!(code, Some(0), "{log}");
}
