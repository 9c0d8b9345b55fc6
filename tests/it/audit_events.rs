//! Reading audit events with `/audit-events` and `tokenbridge audit`, and their retention.

pub mod following;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::Text};
use serde_json::{Value, json};

use crate::{
    support::{
        START, TestApp, TestEnv,
        client::{Auth, Response, TOKENS, string},
        program::Program,
        store::{StoreKind, sqlite},
        wait_until,
    },
    tests,
};

tests![
    filters_select_events,
    pagination_returns_every_event_once_during_inserts,
    the_accept_header_selects_the_format,
    invalid_queries_are_reported,
    only_admins_may_read_events,
    the_command_line_prints_the_last_events,
    old_events_are_deleted,
    lists_of_many_events_are_fast,
];
tests![SQLITE_TESTS: each_pair_of_filters_has_an_index];

const EVENTS: &str = "/audit-events";

fn results(app: &TestApp, query: &str) -> Vec<Value> {
    let response = app.get(&format!("{EVENTS}?{query}"), Auth::Admin).expect(200).json();
    response["results"].as_array().unwrap().clone()
}

fn send(app: &TestApp, query: &str, accept: &str) -> Response {
    app.send(
        "GET",
        &format!("{EVENTS}?{query}"),
        Auth::Admin,
        &[("accept", accept)],
        "",
    )
}

/// Inserts `count` events, a millisecond apart from 1970 on, with a few different actors, channels and actions.
fn many(env: &TestEnv, count: u32) {
    let rows = match env.kind {
        StoreKind::Sqlite => format!(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) SELECT n FROM numbers"
        ),
        StoreKind::Postgres => format!("SELECT n FROM generate_series(1, {count}) AS numbers(n)"),
    };
    env.store.execute(&format!(
        "INSERT INTO audit_events (at, actor_type, actor_id, channel, client, action, token_id, token_name, details)
         SELECT CAST(n AS BIGINT) * 1000, 'user', 'admin ' || (n % 3), CASE n % 4 WHEN 0 THEN 'cli' ELSE 'api-tokens' END, '127.0.0.1',
             CASE n % 1000 WHEN 0 THEN 'admin.added' ELSE 'token.updated' END, NULL, 'agent ' || (n % 1000), '{{}}'
         FROM ({rows}) AS seeds; ANALYZE"
    ));
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// Checks query plans instead of durations, which depend on the machine: one index search for both filters, and no
/// sort.
fn each_pair_of_filters_has_an_index(env: &TestEnv) {
    let path = env.store.directory.path().join("tokenbridge.db");
    let mut conn = sqlite(path.to_str().unwrap());
    let filters = ["actor_id", "action", "channel", "token_id"];
    let of_filters = filters.iter().enumerate();
    let of_filters = of_filters.flat_map(|(number, one)| filters[number + 1..].iter().map(move |other| (*one, *other)));
    // The events of a name are few enough for the filters by actor and channel.
    for (one, other) in of_filters.chain([("token_name", "action")]) {
        for order in ["ASC", "DESC"] {
            let query = format!(
                "EXPLAIN QUERY PLAN SELECT * FROM audit_events WHERE {one} = 'x' AND {other} = 'y' AND at <= 5 AND (at < 5 OR seq < 7)
                 ORDER BY at {order}, seq {order} LIMIT 101"
            );
            let plan: Vec<Step> = sql_query(&query).load(&mut conn).unwrap();
            let [Step { detail }] = &plan[..] else {
                let steps: Vec<_> = plan.iter().map(|step| &step.detail).collect();
                panic!("{query}: {steps:?}");
            };
            let by_both = [(one, other), (other, one)].map(|(a, b)| format!("({a}=? AND {b}=? AND at<?)"));
            assert!(by_both.iter().any(|by| detail.contains(by)), "{query}: {detail}");
        }
    }
}

fn filters_select_events(env: &TestEnv) {
    let app = env.app();
    env.clock.advance(Duration::from_secs(10));
    let (id, value) = app.new_token(&json!({ "name": "a" }));
    env.clock.advance(Duration::from_secs(10));
    let (other, _) = app.new_token(&json!({ "name": "b" }));
    app.post(&format!("{TOKENS}/{other}"), Auth::Key(&value), &json!({ "name": "c" }))
        .expect(200);
    let all = results(&app, "");
    let expected = json!({
        "id": all[0]["id"], "at": env.clock.seconds_from_now(0), "actor": { "id": id, "type": "api-token" }, "channel": "api-tokens",
        "client": "127.0.0.1", "action": "token.updated", "tokenId": other, "tokenName": "c",
        "details": { "name": { "from": "b", "to": "c" } },
    });
    assert_eq!(all[0], expected);
    let by_hand = all.iter().find(|event| event["channel"] == "cli").unwrap();
    assert_eq!(
        (by_hand.get("client"), by_hand.get("tokenId"), &by_hand["actor"]["type"]),
        (None, None, &json!("system"))
    );
    let actions = |query: &str| -> Vec<String> {
        results(&app, query)
            .iter()
            .map(|event| string(&event["action"]))
            .collect()
    };
    assert_eq!(actions("action=token.updated"), ["token.updated"]);
    assert_eq!(actions(&format!("actor={id}")), ["token.updated"]);
    assert_eq!(actions("actor=cli&channel=cli"), ["admin.added"]);
    assert_eq!(actions("actor=cli&channel=api-tokens"), [""; 0]);
    assert_eq!(actions(&format!("tokenId={other}")), ["token.updated", "token.created"]);
    assert_eq!(actions(&format!("tokenId={}", id.to_uppercase())), ["token.created"]);
    let (first, second) = (env.clock.seconds_from_now(-10), env.clock.seconds_from_now(0));
    assert_eq!(
        actions(&format!("since={START}&until={second}")),
        ["token.created", "legacy.phase"]
    );
    assert_eq!(actions(&format!("since={first}&until={second}")), ["token.created"]);
    assert_eq!(
        actions(&format!("since={second}&channel=api-tokens")),
        ["token.updated", "token.created"]
    );
    assert_eq!(actions(&format!("since={START}&until={first}")), ["legacy.phase"]);
}

fn pagination_returns_every_event_once_during_inserts(env: &TestEnv) {
    let app = env.app();
    env.store.execute("DELETE FROM audit_events");
    many(env, 250);
    // Some share a time.
    env.store
        .execute("UPDATE audit_events SET at = 100000 WHERE at BETWEEN 50000 AND 150000");
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = app
            .get(&format!("{EVENTS}?limit=40{cursor}"), Auth::Admin)
            .expect(200)
            .json();
        let events = page["results"].as_array().unwrap();
        assert!(events.len() <= 40);
        seen.extend(events.iter().map(|event| event["id"].as_i64().unwrap()));
        app.new_legacy_token(&json!({ "name": "meanwhile" }));
        let Some(next) = page.get("next") else { break };
        cursor = format!("&cursor={}", string(next));
    }
    assert_eq!(seen.len(), 250);
    assert!(seen.windows(2).all(|pair| pair[0] > pair[1]));
    // The other formats contain all events, without pages.
    let lines = send(&app, "actor=admin+0", "application/x-ndjson").expect(200);
    assert_eq!(lines.text.lines().count(), 83);
}

fn the_accept_header_selects_the_format(env: &TestEnv) {
    let app = env.app();
    let program = Program::new(&env.store.url());
    let added = program.run_with_input(&["admin", "add", "=1+1,\"x\"", "--password-stdin"], "p");
    assert_eq!(added.exit_code, 0, "{added:?}");
    let created = app.post(TOKENS, Auth::Basic("=1+1,\"x\"", "p"), &json!({ "name": "n" }));
    let id = string(&created.expect(200).json()["id"]);
    let csv = send(&app, "", "text/csv").expect(200);
    assert_eq!(
        csv.header("content-type"),
        Some("text/csv; charset=utf-8; header=present")
    );
    let lines: Vec<&str> = csv.text.split("\r\n").collect();
    assert_eq!(
        lines[0],
        "id,at,actorType,actorId,channel,client,action,tokenId,details,tokenName"
    );
    let row = format!(",{START},user,\"'=1+1,\"\"x\"\"\",api-tokens,127.0.0.1,token.created,{id},\"{{\"\"");
    assert!(lines[1].contains(&row), "{}", lines[1]);
    assert_eq!((lines.len(), lines[5]), (6, ""), "{lines:?}");
    for name in ["application/x-ndjson", "application/jsonl"] {
        let response = send(&app, "", name).expect(200);
        assert_eq!(response.header("content-type"), Some(name));
        let events: Vec<Value> = response
            .text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(events, results(&app, ""));
    }
    assert_eq!(send(&app, "limit=1", "text/csv").expect(200).text.lines().count(), 2);
    assert_eq!(
        send(&app, "limit=1", "*/*").expect(200).header("content-type"),
        Some("application/json")
    );
    let refused = send(&app, "", "text/html").expect(406);
    assert!(refused.message().contains("text/csv"), "{refused:?}");
    // Thousands are streamed, newest first.
    many(env, 5000);
    let all = send(&app, "", "text/csv").expect(200);
    let ids: Vec<i64> = all
        .text
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (5004, 5004));
    assert_eq!(send(&app, "limit=1000", "text/csv").text.lines().count(), 1001);
}

fn invalid_queries_are_reported(env: &TestEnv) {
    let app = env.app();
    for (query, expected) in [
        ("since=yesterday", "since: "),
        ("until=1", "until: "),
        ("actor=%00", "actor: "),
        ("tokenId=x", "tokenId: \"x\" is not a UUID"),
        ("action=token.delete", "did you mean \"token.deleted\"?"),
        ("action=x", "token.created, token.updated"),
        ("channel=api_tokens", "did you mean \"api-tokens\"?"),
        ("limit=0", "limit: "),
        ("limit=1001", "limit: "),
        ("cursor=x", "cursor: "),
        ("cursor=AAAAAAAAAGQ", "cursor: "),
        ("token=x", "did you mean \"tokenId\"?"),
        ("actor=a&actor=b", "actor: must not be given twice"),
    ] {
        let message = app.get(&format!("{EVENTS}?{query}"), Auth::Admin).expect(400).message();
        assert!(message.contains(expected), "{query}: {message}");
    }
    let refused = app.send("POST", EVENTS, Auth::Admin, &[], "").expect(405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
}

fn only_admins_may_read_events(env: &TestEnv) {
    let app = env.app();
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    for auth in Auth::except_admin(&value) {
        let refused = app.get(EVENTS, auth).expect(401);
        assert!(
            refused.header("www-authenticate").unwrap().starts_with("Basic "),
            "{auth:?}"
        );
    }
    app.send("HEAD", EVENTS, Auth::Admin, &[], "").expect(200);
}

fn the_command_line_prints_the_last_events(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    app.delete(&format!("{TOKENS}/{id}"), Auth::Admin).expect(204);
    app.stop();
    let program = Program::new(&env.store.url());
    let printed = |arguments: &[&str]| {
        let output = program.run(&[&["audit"], arguments].concat());
        assert_eq!(output.exit_code, 0, "{output:?}");
        output.stdout
    };
    let actions = |arguments: &[&str]| -> Vec<String> {
        let lines = printed(&[arguments, &["--output", "json"]].concat());
        let action = |line: &str| string(&serde_json::from_str::<Value>(line).unwrap()["action"]);
        lines.lines().map(action).collect()
    };
    assert_eq!(
        actions(&["--channel", "api-tokens"]),
        ["token.created", "token.deleted"],
        "oldest first"
    );
    assert_eq!(actions(&["--limit", "1"]).len(), 1);
    assert_eq!(actions(&["--limit", "1", "--token", &id]), ["token.deleted"]);
    assert_eq!(
        actions(&["--actor", "admin", "--action", "token.created"]),
        ["token.created"]
    );
    assert_eq!(actions(&["--until", START, "--token", &id]), [""; 0]);
    assert_eq!(actions(&["--since", START, "--token", &id]).len(), 2);
    let table = printed(&["--token", &id]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].starts_with("TIME ") && lines[2].contains("token.deleted"),
        "{table}"
    );
    assert_eq!(lines[0].find("ACTION"), lines[1].find("token.created"));
    let csv = printed(&["--output", "csv", "--token", &id]);
    assert!(csv.starts_with("id,at,") && csv.contains(",token.deleted,"), "{csv}");
    many(env, 2500);
    assert_eq!(actions(&[]).len(), 100);
    assert_eq!(actions(&["--limit", "all", "--actor", "admin 0"]).len(), 833);
    assert_eq!(actions(&["--limit", "2000"]).len(), 2000);
}

fn old_events_are_deleted(env: &TestEnv) {
    many(env, 3000);
    let kept = env.app();
    kept.new_legacy_token(&json!({ "name": "n" }));
    let count = || env.store.texts("SELECT count(*) || '' AS found FROM audit_events")[0].clone();
    // 3000, the admin of the template, the phase of the legacy API, and this one.
    assert_eq!(count(), "3003");
    kept.stop();
    let app = env.app_with(&["--audit-retention-days", "10"]);
    // The admin was added by the machine's own clock, which is before the tests' clock.
    wait_until("old events are deleted", || (count() == "2").then_some(()));
    app.new_legacy_token(&json!({ "name": "m" }));
    env.clock.advance(Duration::from_hours(24 * 10));
    app.new_legacy_token(&json!({ "name": "o" }));
    // The next sweep deletes this older event, and keeps those that are exactly ten days old.
    many(env, 1);
    wait_until("a sweep has run", || (count() == "4").then_some(()));
    env.clock.advance(Duration::from_secs(1));
    wait_until("expired events are deleted", || (count() == "1").then_some(()));
    assert_eq!(results(&app, "")[0]["details"]["name"], "o");
}

/// `TOKENBRIDGE_TEST_EVENTS` sets another number of events, such as 5000000. Prints the duration of each query.
fn lists_of_many_events_are_fast(env: &TestEnv) {
    let count = std::env::var("TOKENBRIDGE_TEST_EVENTS").map_or(100_000, |count| count.parse().unwrap());
    many(env, count);
    let app = env.app();
    let (middle, end) = (f64::from(count) / 2000.0, f64::from(count) / 1000.0);
    let at = |seconds: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "these are small")]
        let micros = (seconds * 1e6) as i64;
        tokenbridge::domain::clock::Timestamp::from_micros(micros).unwrap()
    };
    for query in [
        String::new(),
        format!("until={}", at(middle)),
        format!("since={}&until={}", at(middle), at(middle + 1.0)),
        format!("until={}", at(0.05)),
        "actor=admin+1".to_owned(),
        "actor=unknown".to_owned(),
        "action=admin.added".to_owned(),
        "action=admin.removed".to_owned(),
        "channel=verify".to_owned(),
        "channel=cli".to_owned(),
        format!("actor=admin+2&action=admin.added&until={}", at(end)),
        "actor=admin+2&action=token.updated&channel=cli".to_owned(),
        "tokenId=7ba167aa-631c-4771-b197-fcb459cc7fd7".to_owned(),
        "tokenName=agent+7".to_owned(),
        "tokenName=agent".to_owned(),
        "tokenName=agent+7&action=token.updated".to_owned(),
        "tokenName=agent+7&action=admin.added".to_owned(),
        "tokenName=agent+7&channel=verify".to_owned(),
    ] {
        results(&app, &query);
        let began = Instant::now();
        let found = results(&app, &query).len();
        let took = began.elapsed();
        println!("{}: {took:?} for {found} of {count} events by {query:?}", env.kind);
        assert!(took < Duration::from_secs(1), "{query}: {took:?}");
    }
}
