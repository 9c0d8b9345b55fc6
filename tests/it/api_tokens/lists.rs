//! Lists: pages, filters, and invalid queries.

use std::{collections::HashSet, time::Duration};

use serde_json::json;

use super::path;
use crate::{
    support::{
        TestEnv,
        client::{Auth, TOKENS, string},
    },
    tests,
};

tests![
    pagination_returns_every_token_once_during_changes,
    filters_select_tokens,
    invalid_queries_are_reported,
];

fn pagination_returns_every_token_once_during_changes(env: &TestEnv) {
    let app = env.app();
    let ids: Vec<String> = (0..25)
        .map(|n| app.new_token(&json!({ "name": format!("{n}") })).0)
        .collect();
    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let page = app
            .get(&format!("{TOKENS}?limit=10{next}"), Auth::Admin)
            .expect(200)
            .json();
        seen.extend(
            page["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|token| string(&token["id"])),
        );
        if seen.len() == 10 {
            // Delete a row that was read, the last one that was read, and one that was not; add a new one.
            for index in [0, 9, 15] {
                app.delete(&path(&ids[index]), Auth::Admin).expect(204);
            }
            app.new_token(&json!({ "name": "new" }));
        }
        match page.get("next") {
            Some(cursor) => next = format!("&cursor={}", cursor.as_str().unwrap()),
            None => break,
        }
    }
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len());
    let kept: Vec<&String> = ids
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != 15)
        .map(|(_, id)| id)
        .collect();
    assert_eq!(seen.iter().take(24).collect::<Vec<_>>(), kept);
    assert_eq!(seen.len(), 25);
    // A page that is exactly full is the last one.
    let whole = app.get(&format!("{TOKENS}?limit=23"), Auth::Admin).json();
    assert_eq!(
        (whole["results"].as_array().unwrap().len(), whole.get("next")),
        (23, None)
    );
}

fn filters_select_tokens(env: &TestEnv) {
    let app = env.app();
    let names = |query: &str| -> Vec<String> {
        let found = app.get(&format!("{TOKENS}?{query}"), Auth::Admin).expect(200).json();
        found["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|token| string(&token["name"]))
            .collect()
    };
    let (_, used) = app.new_token(&json!({ "name": "used 100%" }));
    app.new_token(&json!({ "name": "ends_soon", "expiresAt": env.clock.seconds_from_now(50) }));
    app.new_legacy_token(&json!({ "name": "Old Agent" }));
    env.clock.advance(Duration::from_secs(10));
    app.get(&path("self"), Auth::Key(&used)).expect(200);
    env.clock.advance(Duration::from_secs(10));
    app.new_token(&json!({ "name": "late", "expiresAt": env.clock.seconds_from_now(500) }));
    assert_eq!(names("name=Agent"), ["Old Agent"]);
    assert_eq!(names("name=aGENT"), ["Old Agent"]);
    assert_eq!(names("name=agents"), Vec::<String>::new());
    assert_eq!(names("name=%25"), ["used 100%"]);
    assert_eq!(names("name=_"), ["ends_soon"]);
    assert_eq!(names("name="), ["used 100%", "ends_soon", "Old Agent", "late"]);
    assert_eq!(names("state=legacy"), ["Old Agent"]);
    assert_eq!(names("state=never-used"), ["ends_soon", "Old Agent", "late"]);
    assert_eq!(
        names(&format!("unusedSince={}", env.clock.seconds_from_now(-10))),
        ["ends_soon", "Old Agent"]
    );
    assert_eq!(
        names(&format!("unusedSince={}", env.clock.seconds_from_now(-9))),
        ["used 100%", "ends_soon", "Old Agent"]
    );
    assert_eq!(
        names(&format!("expiresBefore={}", env.clock.seconds_from_now(500))),
        ["ends_soon"]
    );
    env.clock.advance(Duration::from_secs(40));
    assert_eq!(names("state=expired"), ["ends_soon"]);
    assert_eq!(names("state=active"), ["used 100%", "late"]);
    assert_eq!(names("state=active&name=e&limit=1"), ["used 100%"]);
    app.new_token(&json!({ "name": "\u{dc}BER" }));
    assert_eq!(names("name=%C3%BCber"), ["\u{dc}BER"]);
}

fn invalid_queries_are_reported(env: &TestEnv) {
    let app = env.app();
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=", "cursor"),
        ("state=gone", "state"),
        ("unusedSince=yesterday", "unusedSince"),
        ("expiresBefore=1", "expiresBefore"),
        ("name=%00", "name"),
    ] {
        let message = app.get(&format!("{TOKENS}?{query}"), Auth::Admin).expect(400).message();
        assert!(message.starts_with(&format!("{field}: ")), "{query}: {message}");
    }
    for (query, expected) in [
        ("limit=1&limit=2", "limit: must not be given twice"),
        ("name=a&name=a", "name: must not be given twice"),
        (
            "unusedSince=2027-01-31T10:00:00+02:00",
            "unusedSince: in a query, \"+\" means a blank; write 2027-01-31T10:00:00%2B02:00",
        ),
        ("nmae=x", "unknown parameter \"nmae\"; did you mean \"name\"?"),
        (
            "expected=1",
            "the parameters are limit, cursor, name, nameEquals, owner, createdBy, permission, state, unusedSince, expiresBefore",
        ),
    ] {
        let message = app.get(&format!("{TOKENS}?{query}"), Auth::Admin).expect(400).message();
        assert!(message.contains(expected), "{message}");
    }
    let right = "unusedSince=2027-01-31T10:00:00%2B02:00";
    for ignored in ["_=1799999999", "os_authType=basic", "_=1&_=2", right] {
        app.get(&format!("{TOKENS}?limit=1&{ignored}"), Auth::Admin).expect(200);
    }
}
