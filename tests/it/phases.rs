//! The phases of the legacy API: brownouts, read-only, off, and the audit event of each step.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    support::{
        TestApp, TestEnv,
        client::{Auth, LEGACY, LEGACY_PRE_15, TOKENS},
        program::Program,
    },
    tests,
};

tests![
    a_brownout_disables_the_legacy_api_temporarily,
    brownouts_may_overlap_and_be_in_the_past,
    each_phase_is_audited_once,
    servers_that_start_together_audit_one_phase,
    the_phase_is_a_metric,
];

const BROWNOUT: &str = "--legacy-brownout";

fn a_brownout_disables_the_legacy_api_temporarily(env: &TestEnv) {
    let app = env.app_with(&[
        "--base-path",
        "/bamboo",
        "--legacy-sunset",
        "2030-06-01",
        "--legacy-uuid-auth",
        BROWNOUT,
        "2030-01-01T00:01Z/PT15M",
    ]);
    let uuid = app.new_legacy_token(&json!({ "name": "n", "read": true }));
    env.clock.advance(Duration::from_micros(59_999_999));
    app.get(LEGACY, Auth::Admin).expect(200);
    env.clock.advance(Duration::from_micros(1));
    for (method, path) in [
        ("GET", LEGACY),
        ("POST", LEGACY_PRE_15),
        ("PUT", LEGACY),
        ("GET", "/rest/agent/1.0/7/state"),
    ] {
        let closed = app.send(method, path, Auth::Admin, &[], "").expect(503);
        assert_eq!(closed.header("retry-after"), Some("900"), "{closed:?}");
        assert_eq!(
            closed.json(),
            json!({
                "message": "this API is closed until 2030-01-01T00:16:00Z for a scheduled brownout, and will be switched off permanently, use /bamboo/api-tokens",
                "status-code": 503,
            })
        );
        assert_eq!(closed.header("sunset"), Some("Sat, 01 Jun 2030 00:00:00 GMT"));
        assert!(closed.header("deprecation").is_some() && closed.header("link").is_some());
    }
    // The other endpoints are not affected.
    app.get(TOKENS, Auth::Admin).expect(200);
    let uri = format!("/x?uuid={uuid}");
    app.send("GET", "/verify", Auth::Anonymous, &[("X-Original-URI", &uri)], "")
        .expect(200);
    env.clock.advance(Duration::from_millis(899_500));
    let closed = app.get(LEGACY, Auth::Admin).expect(503);
    assert_eq!(closed.header("retry-after"), Some("1"));
    env.clock.advance(Duration::from_millis(500));
    app.get(LEGACY, Auth::Admin).expect(200);
}

fn brownouts_may_overlap_and_be_in_the_past(env: &TestEnv) {
    let app = env.app_with(&[
        BROWNOUT,
        "2030-01-01T00:10:00Z/2030-01-01T00:20:00Z,2020-01-01T00:00Z/P7D",
        BROWNOUT,
        "2029-12-31T23:00Z/PT1H10M",
    ]);
    let retry_after = |app: &TestApp| {
        let response = app.get(LEGACY, Auth::Admin);
        (response.status, response.header("retry-after").map(str::to_owned))
    };
    assert_eq!(retry_after(&app), (503, Some("1200".to_owned())));
    env.clock.advance(Duration::from_mins(20));
    assert_eq!(retry_after(&app), (200, None));
    // A brownout does not override `off`.
    let off = env.app_with(&["--legacy", "off", BROWNOUT, "2030-01-01T00:00Z/P1D"]);
    off.get(LEGACY, Auth::Admin).expect(410);
    let read_only = env.app_with(&["--legacy", "read-only", BROWNOUT, "2030-01-01T00:00Z/P1D"]);
    read_only.post(LEGACY, Auth::Admin, &json!({ "name": "n" })).expect(503);
    let program = Program::new(&env.store.url());
    for (wrong, message) in [
        ("tomorrow", "2030-01-31T09:00Z/PT15M"),
        ("2030-01-01T00:00Z/P8D", "at most 7 days long"),
        ("2030-01-01T00:00Z/PT0S", "end after it starts"),
    ] {
        let output = program.run(&["serve", BROWNOUT, wrong]);
        assert!(output.exit_code == 2 && output.stderr.contains(message), "{output:?}");
    }
    let variables = [(
        "TOKENBRIDGE_LEGACY_BROWNOUT",
        "2020-01-01T00:00Z/P7D,2020-02-01T00:00Z/P7D",
    )];
    program
        .serve_with(&[], &variables)
        .client
        .get(LEGACY, Auth::Admin)
        .expect(200);
}

fn steps(env: &TestEnv) -> Vec<Value> {
    let rows = env.store.texts(
        "SELECT channel || '|' || actor_type || '|' || actor_id || '|' || coalesce(client, '-') || '|' || details AS found
         FROM audit_events WHERE action = 'legacy.phase' ORDER BY seq",
    );
    let details = |row: String| {
        let (actor, details) = row.split_once("|-|").unwrap();
        assert_eq!(actor, "cli|system|server");
        serde_json::from_str(details).unwrap()
    };
    rows.into_iter().map(details).collect()
}

fn each_phase_is_audited_once(env: &TestEnv) {
    let all = [
        "--legacy",
        "read-only",
        "--legacy-uuid-auth",
        "--legacy-deprecation",
        "2027-01-01",
        "--legacy-sunset",
        "2031-01-01",
        BROWNOUT,
        "2030-01-01T09:00Z/PT15M",
    ];
    for flags in [&[][..], &[], &all, &all, &[]] {
        env.app_with(flags).stop();
    }
    let none = json!({
        "mode": "on", "deprecation": "2026-11-21T00:00:00Z", "sunset": null, "brownouts": [], "uuidAuth": false,
    });
    let every = json!({
        "mode": "read-only", "deprecation": "2027-01-01T00:00:00Z", "sunset": "2031-01-01T00:00:00Z",
        "brownouts": ["2030-01-01T09:00:00Z/2030-01-01T09:15:00Z"], "uuidAuth": true,
    });
    assert_eq!(steps(env), [none.clone(), every, none]);
}

fn servers_that_start_together_audit_one_phase(env: &TestEnv) {
    for mode in ["off", "read-only", "on"] {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| env.app_with(&["--legacy", mode]).stop());
            }
        });
    }
    let modes: Vec<_> = steps(env).iter().map(|step| step["mode"].clone()).collect();
    assert_eq!(modes, ["off", "read-only", "on"]);
}

fn the_phase_is_a_metric(env: &TestEnv) {
    let figures = |app: &TestApp| {
        let text = app.get("/metrics", Auth::Anonymous).expect(200).text;
        let lines = text.lines().filter(|line| {
            ["mode", "sunset", "brownout"]
                .iter()
                .any(|name| line.starts_with(&format!("tokenbridge_legacy_{name}")))
        });
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let app = env.app_with(&["--legacy-sunset", "2030-06-01", BROWNOUT, "2030-01-01T00:00Z/PT1H"]);
    let expected = |brownout: u8| {
        [
            format!("tokenbridge_legacy_brownout {brownout}"),
            "tokenbridge_legacy_mode{mode=\"off\"} 0".to_owned(),
            "tokenbridge_legacy_mode{mode=\"on\"} 1".to_owned(),
            "tokenbridge_legacy_mode{mode=\"read-only\"} 0".to_owned(),
            "tokenbridge_legacy_sunset_timestamp_seconds 1906502400".to_owned(),
        ]
    };
    assert_eq!(figures(&app), expected(1));
    env.clock.advance(Duration::from_hours(1));
    assert_eq!(figures(&app), expected(0));
    let off = figures(&env.app_with(&["--legacy", "off"]));
    assert_eq!(off.len(), 4, "{off:?}");
    assert!(off.contains(&"tokenbridge_legacy_mode{mode=\"off\"} 1".to_owned()));
}
