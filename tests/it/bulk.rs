//! Tokens that are deleted by what they have in common.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    support::{
        Lab, TestApp,
        client::{Answer, As, TOKENS, string},
        eventually,
        program::Program,
        store::Kind,
    },
    tests,
};

tests![
    what_filters_match_is_deleted_if_it_was_expected,
    wrong_removals_are_told_and_remove_nothing,
    a_token_deletes_only_what_it_may_delete_one_by_one,
    a_token_that_may_not_read_counts_nothing,
    what_was_used_a_second_ago_is_not_unused,
    removals_at_once_end_one_after_the_other,
    a_hundred_thousand_are_deleted,
    the_command_line_deletes_by_filters,
];

const MODIFY: &str = "OrganizationAPITokenModify";
const READ: &str = "OrganizationAPITokenRead";

fn remove(app: &TestApp, query: &str, who: As<'_>) -> Answer {
    app.delete(&format!("{TOKENS}?{query}"), who)
}

fn number_of_tokens(lab: &Lab) -> String {
    lab.store.texts("SELECT count(*) || '' AS found FROM tokens")[0].clone()
}

fn number_of_deletions(lab: &Lab) -> String {
    lab.store.texts(
        "SELECT count(DISTINCT token_id) || ' ' || count(*) AS found FROM audit_events WHERE action = 'token.deleted'",
    )[0]
    .clone()
}

fn what_filters_match_is_deleted_if_it_was_expected(lab: &Lab) {
    let (app, other) = (lab.app(), lab.app());
    let values: Vec<(String, String)> = (0..5)
        .map(|n| app.new_token(&json!({ "name": format!("job {n}") })))
        .collect();
    let (_, kept) = app.new_token(&json!({ "name": "kept" }));
    let rotated = app.post(
        &format!("{TOKENS}/{}/rotate", values[0].0),
        As::Admin,
        &json!({ "gracePeriodSeconds": 60 }),
    );
    let rotated = string(&rotated.expect(200).json()["value"]);
    let in_use = || values.iter().map(|(_, value)| value).chain([&rotated]);
    let works = |app: &TestApp, value: &str| app.get(&format!("{TOKENS}/self"), As::Key(value)).status == 200;
    for value in in_use() {
        for _ in 0..2 {
            assert!(works(&app, value) && works(&other, value));
        }
    }
    let told = remove(&app, "name=job", As::Admin).expect(400).message();
    assert_eq!(told, "expected: 5 tokens match; say expected=5 to delete them");
    let told = remove(&app, "name=job&expected=4", As::Admin).expect(409).message();
    assert_eq!(told, "5 tokens match, and not 4; nothing was deleted");
    assert_eq!(number_of_tokens(lab), "6");
    let done = remove(&app, "name=job&expected=5", As::Admin).expect(200);
    assert_eq!(done.json(), json!({ "deleted": 5 }));
    for value in in_use() {
        assert!(!works(&app, value), "this server refuses at once");
    }
    let answered = Instant::now();
    for value in in_use() {
        eventually("the other server refuses", || (!works(&other, value)).then_some(()));
    }
    assert!(answered.elapsed() < Duration::from_secs(1), "{:?}", answered.elapsed());
    assert!(works(&app, &kept) && works(&other, &kept));
    assert_eq!(number_of_deletions(lab), "5 5");
    assert_eq!(
        remove(&app, "name=job&expected=0", As::Admin).expect(200).json(),
        json!({ "deleted": 0 })
    );
    // Each filter, alone.
    app.new_legacy_token(&json!({ "name": "old" }));
    app.new_token(&json!({ "name": "brief", "expiresAt": lab.clock.in_seconds(5) }));
    lab.clock.advance(Duration::from_secs(6));
    for query in [
        format!("expiresBefore={}", lab.clock.in_seconds(0)),
        "state=legacy".to_owned(),
    ] {
        let done = remove(&app, &format!("{query}&expected=1"), As::Admin).expect(200);
        assert_eq!(done.json()["deleted"], 1, "{query}");
    }
    assert_eq!(number_of_tokens(lab), "1");
}

fn wrong_removals_are_told_and_remove_nothing(lab: &Lab) {
    let app = lab.app();
    app.new_token(&json!({ "name": "n" }));
    for (query, told) in [
        ("", "filters: name at least one"),
        ("expected=1", "filters: name at least one"),
        ("name=&expected=1", "filters: name at least one"),
        ("name=n&expected=x", "expected: \"x\" is not a whole number"),
        ("name=n&expected=-1", "expected: \"-1\" is not a whole number"),
        ("name=n&expected=%2B1", "expected: \"+1\" is not a whole number"),
        ("name=n&expected=99999999999999999999", "is not a whole number"),
        ("name=n&expected=1&expected=1", "duplicate field `expected`"),
        ("name=n&expected=1&limit=1", "\"limit\" is not a parameter of this"),
        (
            "name=n&expected=1&cursor=AAAAAAAAAGQ",
            "\"cursor\" is not a parameter of this",
        ),
        ("nmae=n&expected=1", "did you mean \"name\"?"),
        ("state=gone&expected=1", "state: "),
        ("unusedSince=1&expected=1", "unusedSince: "),
    ] {
        let message = remove(&app, query, As::Admin).expect(400).message();
        assert!(message.contains(told), "{query}: {message}");
    }
    remove(&app, "name=n&expected=1", As::Nobody).expect(401);
    assert_eq!(number_of_tokens(lab), "1");
}

fn a_token_deletes_only_what_it_may_delete_one_by_one(lab: &Lab) {
    let app = lab.app();
    let token = |name: &str, permissions: &[&str], blocks: &[&str]| {
        app.new_token(&json!({ "name": name, "permissions": permissions, "allowedCIDRBlocks": blocks }))
    };
    let (_, reader) = token("reader", &[READ], &[]);
    let (_, maker) = token("maker", &[READ, MODIFY, "AlertRead"], &["127.0.0.0/8"]);
    token("job 1", &["AlertRead"], &["127.0.0.1/32"]);
    token("job 2", &[], &["127.0.0.0/8"]);
    let refused = remove(&app, "name=job&expected=2", As::Key(&reader)).expect(403);
    assert!(refused.message().contains(MODIFY), "and no number: {refused:?}");
    for (permissions, blocks) in [(&["BulkUpload"][..], &["127.0.0.0/8"][..]), (&[], &[])] {
        let (stronger, _) = token("job 3", permissions, blocks);
        let before = number_of_deletions(lab);
        remove(&app, "name=job&expected=3", As::Key(&maker)).expect(403);
        assert_eq!(
            (number_of_tokens(lab), number_of_deletions(lab)),
            ("5".to_owned(), before)
        );
        app.delete(&format!("{TOKENS}/{stronger}"), As::Admin).expect(204);
    }
    remove(&app, "name=job&expected=2", As::Key(&maker)).expect(200);
    assert_eq!(number_of_tokens(lab), "2");
    // A token may delete itself among others, and is refused from then on.
    token("maker's", &[], &["127.0.0.0/8"]);
    remove(&app, "name=maker&expected=2", As::Key(&maker)).expect(200);
    remove(&app, "name=maker&expected=0", As::Key(&maker)).expect(401);
}

/// The number of tokens that a filter matches would reveal their names, letter by letter.
fn a_token_that_may_not_read_counts_nothing(lab: &Lab) {
    let app = lab.app();
    app.new_token(&json!({ "name": "secret project", "permissions": [] }));
    let (_, modify) = app.new_token(&json!({ "name": "n", "permissions": [MODIFY] }));
    for query in [
        "name=secret",
        "name=other",
        "name=secret&expected=1",
        "name=secret&expected=7",
    ] {
        let refused = remove(&app, query, As::Key(&modify)).expect(403);
        assert!(refused.message().contains(READ), "{refused:?}");
    }
    let (_, both) = app.new_token(&json!({ "name": "n", "permissions": [READ, MODIFY] }));
    remove(&app, "name=secret", As::Key(&both)).expect(400);
    assert_eq!(
        remove(&app, "name=secret&expected=1", As::Key(&both))
            .expect(200)
            .json()["deleted"],
        1
    );
}

fn what_was_used_a_second_ago_is_not_unused(lab: &Lab) {
    let app = lab.app();
    let (used, value) = app.new_token(&json!({ "name": "used" }));
    app.new_token(&json!({ "name": "unused" }));
    lab.clock.advance(Duration::from_hours(24));
    let since = lab.clock.in_seconds(-3600);
    let program = Program::new(&lab.store.url());
    // The use is in the server's memory alone, whether the server is asked or the command line is.
    app.get(&format!("{TOKENS}/self"), As::Key(&value)).expect(200);
    let ended = program.run(&["token", "delete", "--unused-since", &since, "--expected", "2"]);
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (1, "tokenbridge: 1 token matches, and not 2; nothing was deleted\n")
    );
    lab.clock.advance(Duration::from_hours(24));
    let since = lab.clock.in_seconds(-3600);
    app.get(&format!("{TOKENS}/self"), As::Key(&value)).expect(200);
    let query = format!("unusedSince={since}");
    let told = remove(&app, &query, As::Admin).expect(400).message();
    assert!(told.contains("1 token matches"), "{told}");
    remove(&app, &format!("{query}&expected=2"), As::Admin).expect(409);
    remove(&app, &format!("{query}&expected=1"), As::Admin).expect(200);
    let left = app.get(TOKENS, As::Admin).json();
    assert_eq!(left["results"].as_array().unwrap().len(), 1);
    assert_eq!(left["results"][0]["id"], used);
    assert_eq!(
        remove(&app, "state=never-used&expected=0", As::Admin)
            .expect(200)
            .json()["deleted"],
        0
    );
}

/// Removals, changes and uses of the same tokens at the same moment: each is as if it were alone.
fn removals_at_once_end_one_after_the_other(lab: &Lab) {
    let apps = [lab.app(), lab.app()];
    for round in 0..3 {
        let ids: Vec<(String, String)> = (0..30)
            .map(|n| apps[0].new_token(&json!({ "name": format!("round {round} {n}"), "permissions": [READ, MODIFY] })))
            .collect();
        let deleted: u64 = std::thread::scope(|scope| {
            let (apps, ids) = (&apps, &ids);
            let threads: Vec<_> = (0..6)
                .map(|n: usize| {
                    scope.spawn(move || {
                        let app = &apps[n % 2];
                        let who = if n < 3 { As::Admin } else { As::Key(&ids[n].1) };
                        let answer = remove(app, &format!("name=round+{round}&expected=30"), who);
                        match answer.status {
                            200 => answer.json()["deleted"].as_u64().unwrap(),
                            401 | 409 => 0,
                            _ => panic!("{answer:?}"),
                        }
                    })
                })
                .collect();
            for (id, value) in ids.iter().rev() {
                let renamed = apps[1].post(&format!("{TOKENS}/{id}"), As::Key(value), &json!({ "name": "round x" }));
                assert!([200, 401, 404].contains(&renamed.status), "{renamed:?}");
            }
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!([0, 30].contains(&deleted), "{deleted}");
        let count = |answer: Answer| answer.json()["results"].as_array().unwrap().len();
        let left = count(apps[0].get(&format!("{TOKENS}?name=round"), As::Admin));
        assert_eq!(left as u64 + deleted, 30);
        remove(&apps[0], &format!("name=round&expected={left}"), As::Admin).expect(200);
    }
}

fn many(lab: &Lab, count: u32) {
    let (rows, id, hash) = match lab.kind {
        Kind::Sqlite => (
            format!(
                "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) SELECT n FROM numbers"
            ),
            "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' \
             || hex(randomblob(6)))",
            "randomblob(32)",
        ),
        Kind::Postgres => (
            format!("SELECT n FROM generate_series(1, {count}) AS numbers(n)"),
            "gen_random_uuid()::text",
            "decode(md5(n || 'a') || md5(n || 'b'), 'hex')",
        ),
    };
    lab.store.execute(&format!(
        "INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, value_hash, created_at, created_by_type, created_by_id)
         SELECT {id}, 'many ' || n, 'AlertRead', '', {hash}, n, 'user', 'admin' FROM ({rows}) AS seeds; ANALYZE"
    ));
}

/// With `TOKENBRIDGE_TEST_TOKENS=…` as many as that.
fn a_hundred_thousand_are_deleted(lab: &Lab) {
    let count: u32 = std::env::var("TOKENBRIDGE_TEST_TOKENS").map_or(100_000, |count| count.parse().unwrap());
    let (app, other) = (lab.app(), lab.app());
    let (_, kept) = app.new_token(&json!({ "name": "kept" }));
    many(lab, count);
    let (_, value) = app.new_token(&json!({ "name": "many: a real one" }));
    let own = format!("{TOKENS}/self");
    for app in [&app, &other] {
        app.get(&own, As::Key(&value)).expect(200);
        app.get(&own, As::Key(&value)).expect(200);
    }
    let began = Instant::now();
    let (mut pages, mut cursor) = (0, String::new());
    loop {
        let page = app.get(&format!("{TOKENS}?name=many&limit=1000{cursor}"), As::Admin);
        let page: Value = page.expect(200).json();
        pages += 1;
        let Some(next) = page.get("next") else { break };
        cursor = format!("&cursor={}", string(next));
    }
    println!("{}: {pages} pages of {count} tokens in {:?}", lab.kind, began.elapsed());
    let began = Instant::now();
    remove(&app, &format!("name=many&expected={count}"), As::Admin).expect(409);
    println!("{}: refused because of the number in {:?}", lab.kind, began.elapsed());
    let began = Instant::now();
    let done = remove(&app, &format!("name=many&expected={}", count + 1), As::Admin).expect(200);
    let took = began.elapsed();
    println!("{}: {count} tokens deleted in {took:?}", lab.kind);
    assert_eq!(done.json()["deleted"], count + 1);
    app.get(&own, As::Key(&value)).expect(401);
    let answered = Instant::now();
    eventually("the other server refuses", || {
        (other.get(&own, As::Key(&value)).status == 401).then_some(())
    });
    assert!(answered.elapsed() < Duration::from_secs(1), "{:?}", answered.elapsed());
    other.get(&own, As::Key(&kept)).expect(200);
    assert_eq!(number_of_tokens(lab), "1");
    assert_eq!(number_of_deletions(lab), format!("{0} {0}", count + 1));
}

fn the_command_line_deletes_by_filters(lab: &Lab) {
    let app = lab.app();
    let program = Program::new(&lab.store.url());
    for n in 0..3 {
        app.new_legacy_token(&json!({ "name": format!("agent {n}") }));
    }
    let (_, value) = app.new_token(&json!({ "name": "agent with a value", "expiresAt": lab.clock.in_seconds(60) }));
    app.get(&format!("{TOKENS}/self"), As::Key(&value)).expect(200);
    let listed = |filters: &[&str]| {
        let ended = program.run(&[&["token", "list", "--output", "json"], filters].concat());
        let tokens: Value = serde_json::from_str(&ended.out).unwrap();
        tokens.as_array().unwrap().len()
    };
    let later = lab.clock.in_seconds(3600);
    assert_eq!(listed(&["--name", "agent"]), 4);
    assert_eq!(listed(&["--state", "legacy", "--name", "agent 1"]), 1);
    assert_eq!(listed(&["--expires-before", &later]), 1);
    assert_eq!(listed(&["--state", "legacy", "--unused-since", &later]), 3);
    let ended = program.run(&["token", "delete", "--state", "legacy", "--expected", "2"]);
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (1, "tokenbridge: 3 tokens match, and not 2; nothing was deleted\n")
    );
    let arguments = [
        "token",
        "delete",
        "--state",
        "legacy",
        "--unused-since",
        &later,
        "--expected",
        "3",
    ];
    let ended = program.run(&arguments);
    assert_eq!((ended.code, ended.out.as_str()), (0, "deleted 3 tokens\n"), "{ended:?}");
    let ended = program.run(&["token", "delete", "--expires-before", &later, "--expected", "1"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "deleted 1 token\n"), "{ended:?}");
    eventually("the server hears of it", || {
        (app.get(&format!("{TOKENS}/self"), As::Key(&value)).status == 401).then_some(())
    });
}
