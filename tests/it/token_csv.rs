//! The list of tokens as CSV.

use std::time::Duration;

use serde_json::json;

use crate::{
    support::{
        READ, TestApp, TestEnv,
        client::{Auth, Response, TOKENS},
        program::Program,
    },
    tests,
};

tests![
    a_filtered_list_is_written_as_csv,
    cells_that_look_like_formulas_are_escaped,
    csv_contains_every_page_unless_a_limit_is_given,
    only_readers_of_tokens_get_csv,
];

const HEADER: &str = "id,name,permissions,allowedCIDRBlocks,createdAt,createdByType,createdById,updatedAt,\
    updatedByType,updatedById,rotatedAt,lastUsedAt,expiresAt,description,owner,disabledAt";

fn csv(app: &TestApp, query: &str) -> Response {
    let headers = [("accept", "text/csv")];
    app.send("GET", &format!("{TOKENS}{query}"), Auth::Admin, &headers, "")
}

fn a_filtered_list_is_written_as_csv(env: &TestEnv) {
    let app = env.app();
    let body = json!({ "name": "one", "permissions": [READ, "AlertRead"], "owner": "the team", "allowedCIDRBlocks": ["10.0.0.0/8", "127.0.0.1/32"] });
    let (id, value) = app.new_token(&body);
    app.new_token(&json!({ "name": "other" }));
    env.clock.advance(Duration::from_secs(1));
    let until = env.clock.seconds_from_now(60);
    let changed = json!({ "name": "one, changed", "expiresAt": until });
    app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &changed).expect(200);
    env.clock.advance(Duration::from_secs(1));
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    let response = csv(&app, "?name=ONE").expect(200);
    assert_eq!(
        response.header("content-type"),
        Some("text/csv; charset=utf-8; header=present")
    );
    assert_eq!(response.header("vary"), Some("accept"));
    let row = format!(
        "{id},\"one, changed\",AlertRead {READ},10.0.0.0/8 127.0.0.1/32,2030-01-01T00:00:00Z,user,admin,\
         2030-01-01T00:00:01Z,user,admin,,2030-01-01T00:00:02Z,{until},,the team,"
    );
    assert_eq!(response.text, format!("{HEADER}\r\n{row}\r\n"));
    assert_eq!(csv(&app, "?name=none").expect(200).text, format!("{HEADER}\r\n"));
}

fn cells_that_look_like_formulas_are_escaped(env: &TestEnv) {
    let app = env.app();
    app.new_token(&json!({ "name": "=1+1" }));
    let text = csv(&app, "").expect(200).text;
    assert!(text.contains(",\"'=1+1\","), "{text}");
}

fn csv_contains_every_page_unless_a_limit_is_given(env: &TestEnv) {
    let app = env.app();
    env.store.execute(&format!(
        "INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, created_at, created_by_type, created_by_id)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
         SELECT '{}' || (10000 + i), 'n' || i, '', '', 0, 'user', 'admin' FROM n",
        "d0ea6653-05e2-4d51-9d89-665cdfe"
    ));
    let all = csv(&app, "").expect(200).text;
    let names: Vec<&str> = all.lines().skip(1).filter_map(|line| line.split(',').nth(1)).collect();
    let expected: Vec<String> = (1..=2500).map(|number| format!("n{number}")).collect();
    assert_eq!(names, expected);
    assert_eq!(all.matches(HEADER).count(), 1);
    let printed = Program::new(&env.store.url()).run(&["token", "list", "--output", "csv"]);
    assert_eq!(printed.stdout, all);
    assert_eq!(csv(&app, "?limit=2").expect(200).text.lines().count(), 3);
    let first = app.get(&format!("{TOKENS}?limit=2"), Auth::Admin).json();
    let after = format!("?cursor={}", first["next"].as_str().unwrap());
    assert_eq!(csv(&app, &after).expect(200).text.lines().count(), 1 + 2498);
}

fn only_readers_of_tokens_get_csv(env: &TestEnv) {
    let app = env.app();
    let (_, reader) = app.new_token(&json!({ "name": "reader", "permissions": [READ] }));
    let (_, plain) = app.new_token(&json!({ "name": "plain", "permissions": [] }));
    for (auth, accept, status) in [
        (Auth::Key(&reader), "text/csv", 200),
        (Auth::Key(&plain), "text/csv", 403),
        (Auth::Anonymous, "text/csv", 401),
        (Auth::Key(&reader), "text/html", 406),
        (Auth::Key(&reader), "*/*", 200),
    ] {
        app.send("GET", TOKENS, auth, &[("accept", accept)], "").expect(status);
    }
    let page = app.send("GET", TOKENS, Auth::Key(&reader), &[("accept", "*/*")], "");
    assert_eq!(page.json()["results"].as_array().unwrap().len(), 2);
}
