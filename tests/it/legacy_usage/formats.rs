//! The report in each format: JSON, CSV, the command line, and metrics.

use std::time::Duration;

use serde_json::{Value, json};

use super::{DAY, USAGE, behind_proxy, call, usage};
use crate::{
    support::{
        ADMIN, TestApp, TestEnv,
        client::{Auth, LEGACY, LEGACY_PRE_15, TOKENS},
        program::Program,
    },
    tests,
};

tests![
    only_admins_may_read_the_usage,
    csv_is_safe_for_spreadsheets,
    tokens_without_a_value_are_listed,
    the_command_line_matches_the_api,
    the_last_call_is_a_metric_that_survives_a_restart,
];

fn only_admins_may_read_the_usage(env: &TestEnv) {
    let app = env.app();
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    for auth in Auth::except_admin(&value) {
        let refused = app.get(USAGE, auth).expect(401);
        assert!(refused.header("www-authenticate").unwrap().starts_with("Basic "));
    }
    app.send("HEAD", USAGE, Auth::Admin, &[], "").expect(200);
    let refused = app.post(USAGE, Auth::Admin, &json!({})).expect(405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
    // Requesting the report does not count as a use of the legacy API.
    assert_eq!(usage(&app)["callers"], json!([]));
}

fn csv_is_safe_for_spreadsheets(env: &TestEnv) {
    let app = behind_proxy(env);
    for program in ["=HYPERLINK(\"http://x\",1)", "+1", "@SUM", "-1", "plain, \"quoted\""] {
        call(&app, "GET", LEGACY, Auth::Admin, ("192.0.2.7", program));
    }
    let csv = app
        .send(
            "GET",
            USAGE,
            Auth::Admin,
            &[("accept", "text/csv, application/json;q=0.5")],
            "",
        )
        .expect(200);
    assert_eq!(
        csv.header("content-type"),
        Some("text/csv; charset=utf-8; header=present")
    );
    let mut lines: Vec<&str> = csv.text.split("\r\n").collect();
    assert_eq!(lines.pop(), Some(""));
    assert_eq!(
        lines.remove(0),
        "actorType,actorId,prefix,method,client,userAgent,firstSeen,lastSeen,count"
    );
    let line = |program: &str| {
        format!("user,admin,/rest/agent-config/1.0,GET,192.0.2.7,{program},2030-01-01T00:00:00Z,2030-01-01T00:00:00Z,1")
    };
    lines.sort_unstable();
    let mut expected = [
        "\"'=HYPERLINK(\"\"http://x\"\",1)\"",
        "\"'+1\"",
        "\"'@SUM\"",
        "\"'-1\"",
        "\"plain, \"\"quoted\"\"\"",
    ]
    .map(line);
    expected.sort_unstable();
    assert_eq!(lines, expected);
    for accept in ["application/json, text/csv", "*/*", "text/csv;q=0.1, application/json"] {
        let json = app
            .send("GET", USAGE, Auth::Admin, &[("accept", accept)], "")
            .expect(200);
        assert_eq!(json.header("content-type"), Some("application/json"), "{accept}");
    }
    app.send("GET", USAGE, Auth::Admin, &[("accept", "text/html")], "")
        .expect(406);
}

fn tokens_without_a_value_are_listed(env: &TestEnv) {
    let app = env.app_with(&["--legacy-uuid-auth"]);
    app.new_token(&json!({ "name": "new" }));
    let used = app.new_legacy_token(&json!({ "name": "used", "read": true }));
    let idle = app.new_legacy_token(&json!({ "name": "idle" }));
    let uri = format!("/x?uuid={used}");
    app.send("GET", "/verify", Auth::Anonymous, &[("X-Original-URI", &uri)], "")
        .expect(200);
    assert_eq!(
        usage(&app)["tokensWithoutValue"],
        json!({ "count": 2, "tokens": [
            { "id": used, "name": "used", "lastUsedAt": "2030-01-01T00:00:00Z" },
            { "id": idle, "name": "idle" },
        ] })
    );
    app.post(&format!("{TOKENS}/{used}/rotate"), Auth::Admin, &json!({}))
        .expect(200);
    for number in 0..110 {
        app.new_legacy_token(&json!({ "name": number.to_string() }));
    }
    let tokens = &usage(&app)["tokensWithoutValue"];
    assert_eq!(
        (&tokens["count"], tokens["tokens"].as_array().unwrap().len()),
        (&json!(111), 100)
    );
}

fn the_command_line_matches_the_api(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let table = program.run(&["legacy-usage"]);
    assert_eq!(
        (table.exit_code, table.stdout.as_str()),
        (
            0,
            "Every token has a value.\nThe legacy API has not been observed for long enough: the server watched on 0 of the last 30 days.\n"
        ),
        "{table:?}"
    );
    let server = program.serve(&[]);
    server.client.new_legacy_token(&json!({ "name": "n" }));
    let headers = [("user-agent", "=curl")];
    server
        .client
        .send("GET", LEGACY_PRE_15, Auth::Admin, &headers, "")
        .expect(200);
    server.signal("TERM");
    assert_eq!(server.wait().0, Some(0));
    let table = program.run(&["legacy-usage", "--days", "7"]);
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert!(lines[0].starts_with("LAST SEEN") && lines.len() == 5, "{table:?}");
    assert!(
        table.stdout.contains("user admin") && table.stdout.contains("=curl"),
        "{table:?}"
    );
    assert!(lines[3].starts_with("1 token has no value yet"), "{table:?}");
    assert!(
        lines[4].starts_with("The legacy API is on. It is in use: 2 calls in the last 7 days, "),
        "{table:?}"
    );
    let json: Value = serde_json::from_str(&program.run(&["legacy-usage", "--output", "json"]).stdout).unwrap();
    assert_eq!(
        (&json["verdict"], json["callers"].as_array().unwrap().len()),
        (&json!("in-use"), 2)
    );
    let csv = program.run(&["legacy-usage", "--output", "csv"]);
    assert!(
        csv.stdout.contains(",\"'=curl\",") && csv.stdout.lines().count() == 3,
        "{csv:?}"
    );
    let wrong = program.run(&["legacy-usage", "--days", "401"]);
    assert!(
        wrong.exit_code == 2 && wrong.stderr.contains("from 1 to 400"),
        "{wrong:?}"
    );
}

fn the_last_call_is_a_metric_that_survives_a_restart(env: &TestEnv) {
    let last = |app: &TestApp, prefix: &str| {
        let series = format!("tokenbridge_legacy_last_request_timestamp_seconds{{prefix=\"{prefix}\"}} ");
        let text = app.get("/metrics", Auth::Anonymous).expect(200).text;
        text.lines()
            .find_map(|line| line.strip_prefix(&series).map(str::to_owned))
    };
    let app = env.app();
    let prefix = "/rest/agent/1.0";
    assert_eq!(last(&app, prefix), None);
    let metrics = app.get("/metrics", Auth::Anonymous).expect(200).text;
    for line in [
        "tokenbridge_legacy_watched_seconds 0",
        "tokenbridge_legacy_verdict{verdict=\"not-observed-yet\"} 1",
        "tokenbridge_legacy_verdict{verdict=\"in-use\"} 0",
    ] {
        assert!(metrics.contains(&format!("{line}\n")), "{line} in {metrics}");
    }
    app.get(LEGACY_PRE_15, Auth::Basic(ADMIN.0, "wrong")).expect(401);
    assert_eq!(last(&app, prefix).as_deref(), Some("1893456000"));
    env.clock.advance(Duration::from_mins(1));
    app.get(LEGACY_PRE_15, Auth::Admin).expect(200);
    assert_eq!(last(&app, prefix).as_deref(), Some("1893456060"));
    app.stop();
    env.clock.advance(DAY);
    let app = env.app();
    assert_eq!(last(&app, prefix).as_deref(), Some("1893456060"));
    assert_eq!(last(&app, "/rest/agent-config/1.0"), None);
    let metrics = app.get("/metrics", Auth::Anonymous).expect(200).text;
    assert!(
        metrics.contains("tokenbridge_legacy_verdict{verdict=\"in-use\"} 1\n"),
        "{metrics}"
    );
}
