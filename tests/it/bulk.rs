//! Bulk deletion of the tokens that match a filter.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    support::{
        MODIFY, READ, TestApp, TestEnv,
        client::{Auth, Response, TOKENS, string},
        program::Program,
        store::StoreKind,
        wait_for_refusal, wait_until,
    },
    tests,
};

tests![
    matching_tokens_are_deleted_if_the_count_is_as_expected,
    invalid_bulk_deletions_are_reported_and_delete_nothing,
    a_bulk_deletion_needs_the_rights_of_single_deletions,
    a_token_that_may_not_read_counts_nothing,
    a_token_used_a_second_ago_is_not_unused,
    concurrent_bulk_deletions_are_serialized,
    thirty_thousand_tokens_are_deleted,
    the_command_line_deletes_by_filters,
];

fn remove(app: &TestApp, query: &str, auth: Auth<'_>) -> Response {
    app.delete(&format!("{TOKENS}?{query}"), auth)
}

fn number_of_tokens(env: &TestEnv) -> String {
    env.store.texts("SELECT count(*) || '' AS found FROM tokens")[0].clone()
}

fn number_of_deletions(env: &TestEnv) -> String {
    env.store.texts(
        "SELECT count(DISTINCT token_id) || ' ' || count(*) AS found FROM audit_events WHERE action = 'token.deleted'",
    )[0]
    .clone()
}

fn matching_tokens_are_deleted_if_the_count_is_as_expected(env: &TestEnv) {
    let (app, other) = (env.app(), env.app());
    let values: Vec<(String, String)> = (0..5)
        .map(|n| app.new_token(&json!({ "name": format!("job {n}") })))
        .collect();
    let (_, kept) = app.new_token(&json!({ "name": "kept" }));
    let rotated = app.post(
        &format!("{TOKENS}/{}/rotate", values[0].0),
        Auth::Admin,
        &json!({ "gracePeriodSeconds": 60 }),
    );
    let rotated = string(&rotated.expect(200).json()["value"]);
    let in_use = || values.iter().map(|(_, value)| value).chain([&rotated]);
    let works = |app: &TestApp, value: &str| app.get(&format!("{TOKENS}/self"), Auth::Key(value)).status == 200;
    for value in in_use() {
        for _ in 0..2 {
            assert!(works(&app, value) && works(&other, value));
        }
    }
    let message = remove(&app, "name=job", Auth::Admin).expect(400).message();
    assert_eq!(message, "expected: 5 tokens match; set expected=5 to delete them");
    let message = remove(&app, "name=JOB&expected=4", Auth::Admin).expect(409).message();
    assert_eq!(message, "5 tokens match, and not 4; nothing was deleted");
    assert_eq!(number_of_tokens(env), "6");
    let done = remove(&app, "name=JOB&expected=5", Auth::Admin).expect(200);
    assert_eq!(done.json(), json!({ "deleted": 5 }));
    for value in in_use() {
        assert!(!works(&app, value), "this server refuses at once");
    }
    let answered = Instant::now();
    for value in in_use() {
        wait_for_refusal(answered, || works(&other, value));
    }
    assert!(works(&app, &kept) && works(&other, &kept));
    assert_eq!(number_of_deletions(env), "5 5");
    assert_eq!(
        remove(&app, "name=job&expected=0", Auth::Admin).expect(200).json(),
        json!({ "deleted": 0 })
    );
    // Each filter, alone.
    app.new_legacy_token(&json!({ "name": "old" }));
    app.new_token(&json!({ "name": "brief", "expiresAt": env.clock.seconds_from_now(5) }));
    env.clock.advance(Duration::from_secs(6));
    for query in [
        format!("expiresBefore={}", env.clock.seconds_from_now(0)),
        "state=legacy".to_owned(),
    ] {
        let done = remove(&app, &format!("{query}&expected=1"), Auth::Admin).expect(200);
        assert_eq!(done.json()["deleted"], 1, "{query}");
    }
    assert_eq!(number_of_tokens(env), "1");
}

fn invalid_bulk_deletions_are_reported_and_delete_nothing(env: &TestEnv) {
    let app = env.app();
    app.new_token(&json!({ "name": "n" }));
    for (query, expected) in [
        ("", "filters: set at least one"),
        ("expected=1", "filters: set at least one"),
        ("name=&expected=1", "filters: set at least one"),
        ("name=n&expected=x", "expected: \"x\" is not a whole number"),
        ("name=n&expected=-1", "expected: \"-1\" is not a whole number"),
        ("name=n&expected=%2B1", "expected: \"+1\" is not a whole number"),
        ("name=n&expected=99999999999999999999", "is not a whole number"),
        ("name=n&expected=1&expected=1", "expected: must not be given twice"),
        ("name=n&expected=1&limit=1", "unknown parameter \"limit\""),
        ("name=n&expected=1&cursor=AAAAAAAAAGQ", "unknown parameter \"cursor\""),
        ("nmae=n&expected=1", "did you mean \"name\"?"),
        ("state=gone&expected=1", "state: "),
        ("unusedSince=1&expected=1", "unusedSince: "),
    ] {
        let message = remove(&app, query, Auth::Admin).expect(400).message();
        assert!(message.contains(expected), "{query}: {message}");
    }
    remove(&app, "name=n&expected=1", Auth::Anonymous).expect(401);
    assert_eq!(number_of_tokens(env), "1");
}

fn a_bulk_deletion_needs_the_rights_of_single_deletions(env: &TestEnv) {
    let app = env.app();
    let token = |name: &str, permissions: &[&str], blocks: &[&str]| {
        app.new_token(&json!({ "name": name, "permissions": permissions, "allowedCIDRBlocks": blocks }))
    };
    let (_, reader) = token("reader", &[READ], &[]);
    let (_, maker) = token("maker", &[READ, MODIFY, "AlertRead"], &["127.0.0.0/8"]);
    token("job 1", &["AlertRead"], &["127.0.0.1/32"]);
    token("job 2", &[], &["127.0.0.0/8"]);
    let refused = remove(&app, "name=job&expected=2", Auth::Key(&reader)).expect(403);
    assert!(refused.message().contains(MODIFY), "and no number: {refused:?}");
    for (permissions, blocks) in [(&["BulkUpload"][..], &["127.0.0.0/8"][..]), (&[], &[])] {
        let (stronger, _) = token("job 3", permissions, blocks);
        let before = number_of_deletions(env);
        remove(&app, "name=job&expected=3", Auth::Key(&maker)).expect(403);
        assert_eq!(
            (number_of_tokens(env), number_of_deletions(env)),
            ("5".to_owned(), before)
        );
        app.delete(&format!("{TOKENS}/{stronger}"), Auth::Admin).expect(204);
    }
    remove(&app, "name=job&expected=2", Auth::Key(&maker)).expect(200);
    assert_eq!(number_of_tokens(env), "2");
    // A token may delete itself among others, and is refused from then on.
    token("maker's", &[], &["127.0.0.0/8"]);
    remove(&app, "name=maker&expected=2", Auth::Key(&maker)).expect(200);
    remove(&app, "name=maker&expected=0", Auth::Key(&maker)).expect(401);
}

/// The number of tokens that a filter matches would reveal their names, letter by letter.
fn a_token_that_may_not_read_counts_nothing(env: &TestEnv) {
    let app = env.app();
    app.new_token(&json!({ "name": "secret project", "permissions": [] }));
    let (_, modify) = app.new_token(&json!({ "name": "n", "permissions": [MODIFY] }));
    for query in [
        "name=secret",
        "name=other",
        "name=secret&expected=1",
        "name=secret&expected=7",
    ] {
        let refused = remove(&app, query, Auth::Key(&modify)).expect(403);
        assert!(refused.message().contains(READ), "{refused:?}");
    }
    let (_, both) = app.new_token(&json!({ "name": "n", "permissions": [READ, MODIFY] }));
    remove(&app, "name=secret", Auth::Key(&both)).expect(400);
    assert_eq!(
        remove(&app, "name=secret&expected=1", Auth::Key(&both))
            .expect(200)
            .json()["deleted"],
        1
    );
}

fn a_token_used_a_second_ago_is_not_unused(env: &TestEnv) {
    let app = env.app();
    let (used, value) = app.new_token(&json!({ "name": "used" }));
    app.new_token(&json!({ "name": "unused" }));
    env.clock.advance(Duration::from_hours(24));
    let since = env.clock.seconds_from_now(-3600);
    let program = Program::new(&env.store.url());
    // The use is only in the server's memory. Deletions by command and by request must both respect it.
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    let output = program.run(&["token", "delete", "--unused-since", &since, "--expected", "2"]);
    assert_eq!(
        (output.exit_code, output.stderr.as_str()),
        (1, "tokenbridge: 1 token matches, and not 2; nothing was deleted\n")
    );
    env.clock.advance(Duration::from_hours(24));
    let since = env.clock.seconds_from_now(-3600);
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    let query = format!("unusedSince={since}");
    let message = remove(&app, &query, Auth::Admin).expect(400).message();
    assert!(message.contains("1 token matches"), "{message}");
    remove(&app, &format!("{query}&expected=2"), Auth::Admin).expect(409);
    remove(&app, &format!("{query}&expected=1"), Auth::Admin).expect(200);
    let left = app.get(TOKENS, Auth::Admin).json();
    assert_eq!(left["results"].as_array().unwrap().len(), 1);
    assert_eq!(left["results"][0]["id"], used);
    assert_eq!(
        remove(&app, "state=never-used&expected=0", Auth::Admin)
            .expect(200)
            .json()["deleted"],
        0
    );
}

/// Concurrent deletions, changes and uses of the same tokens have the effect of a serial execution.
fn concurrent_bulk_deletions_are_serialized(env: &TestEnv) {
    let apps = [env.app(), env.app()];
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
                        let auth = if n < 3 { Auth::Admin } else { Auth::Key(&ids[n].1) };
                        let response = remove(app, &format!("name=round+{round}&expected=30"), auth);
                        match response.status {
                            200 => response.json()["deleted"].as_u64().unwrap(),
                            401 | 409 => 0,
                            _ => panic!("{response:?}"),
                        }
                    })
                })
                .collect();
            for (id, value) in ids.iter().rev() {
                let renamed = apps[1].post(
                    &format!("{TOKENS}/{id}"),
                    Auth::Key(value),
                    &json!({ "name": "round x" }),
                );
                assert!([200, 401, 404].contains(&renamed.status), "{renamed:?}");
            }
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!([0, 30].contains(&deleted), "{deleted}");
        let count = |response: Response| response.json()["results"].as_array().unwrap().len();
        let left = count(apps[0].get(&format!("{TOKENS}?name=round"), Auth::Admin));
        assert_eq!(left as u64 + deleted, 30);
        remove(&apps[0], &format!("name=round&expected={left}"), Auth::Admin).expect(200);
    }
}

fn many(env: &TestEnv, count: u32) {
    let (rows, id, hash) = match env.kind {
        StoreKind::Sqlite => (
            format!(
                "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) SELECT n FROM numbers"
            ),
            "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' \
             || hex(randomblob(6)))",
            "randomblob(32)",
        ),
        StoreKind::Postgres => (
            format!("SELECT n FROM generate_series(1, {count}) AS numbers(n)"),
            "gen_random_uuid()::text",
            "decode(md5(n || 'a') || md5(n || 'b'), 'hex')",
        ),
    };
    env.store.execute(&format!(
        "INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, value_hash, created_at, created_by_type, created_by_id)
         SELECT {id}, 'many ' || n, 'AlertRead', '', {hash}, n, 'user', 'admin' FROM ({rows}) AS seeds; ANALYZE"
    ));
}

/// `TOKENBRIDGE_TEST_TOKENS` sets another number of tokens.
fn thirty_thousand_tokens_are_deleted(env: &TestEnv) {
    let count: u32 = std::env::var("TOKENBRIDGE_TEST_TOKENS").map_or(30_000, |count| count.parse().unwrap());
    let (app, other) = (env.app(), env.app());
    let (_, kept) = app.new_token(&json!({ "name": "kept" }));
    many(env, count);
    let (_, value) = app.new_token(&json!({ "name": "many: a real one" }));
    let own = format!("{TOKENS}/self");
    for app in [&app, &other] {
        app.get(&own, Auth::Key(&value)).expect(200);
        app.get(&own, Auth::Key(&value)).expect(200);
    }
    let began = Instant::now();
    let (mut pages, mut cursor) = (0, String::new());
    loop {
        let page = app.get(&format!("{TOKENS}?name=many&limit=1000{cursor}"), Auth::Admin);
        let page: Value = page.expect(200).json();
        pages += 1;
        let Some(next) = page.get("next") else { break };
        cursor = format!("&cursor={}", string(next));
    }
    println!("{}: {pages} pages of {count} tokens in {:?}", env.kind, began.elapsed());
    let began = Instant::now();
    remove(&app, &format!("name=many&expected={count}"), Auth::Admin).expect(409);
    println!("{}: refused because of the number in {:?}", env.kind, began.elapsed());
    let began = Instant::now();
    let done = remove(&app, &format!("name=many&expected={}", count + 1), Auth::Admin).expect(200);
    let took = began.elapsed();
    println!("{}: {count} tokens deleted in {took:?}", env.kind);
    assert_eq!(done.json()["deleted"], count + 1);
    app.get(&own, Auth::Key(&value)).expect(401);
    wait_for_refusal(Instant::now(), || other.get(&own, Auth::Key(&value)).status != 401);
    other.get(&own, Auth::Key(&kept)).expect(200);
    assert_eq!(number_of_tokens(env), "1");
    assert_eq!(number_of_deletions(env), format!("{0} {0}", count + 1));
}

fn the_command_line_deletes_by_filters(env: &TestEnv) {
    let app = env.app();
    let program = Program::new(&env.store.url());
    for n in 0..3 {
        app.new_legacy_token(&json!({ "name": format!("agent {n}") }));
    }
    let (_, value) =
        app.new_token(&json!({ "name": "agent with a value", "expiresAt": env.clock.seconds_from_now(60) }));
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    let listed = |filters: &[&str]| {
        let output = program.run(&[&["token", "list", "--output", "json"], filters].concat());
        let tokens: Value = serde_json::from_str(&output.stdout).unwrap();
        tokens.as_array().unwrap().len()
    };
    let later = env.clock.seconds_from_now(3600);
    assert_eq!(listed(&["--name", "agent"]), 4);
    assert_eq!(listed(&["--state", "legacy", "--name", "agent 1"]), 1);
    assert_eq!(listed(&["--expires-before", &later]), 1);
    assert_eq!(listed(&["--state", "legacy", "--unused-since", &later]), 3);
    let output = program.run(&["token", "delete", "--state", "legacy", "--expected", "2"]);
    assert_eq!(
        (output.exit_code, output.stderr.as_str()),
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
    let output = program.run(&arguments);
    assert_eq!(
        (output.exit_code, output.stdout.as_str()),
        (0, "deleted 3 tokens\n"),
        "{output:?}"
    );
    let output = program.run(&["token", "delete", "--expires-before", &later, "--expected", "1"]);
    assert_eq!(
        (output.exit_code, output.stdout.as_str()),
        (0, "deleted 1 token\n"),
        "{output:?}"
    );
    wait_until("the server knows the change", || {
        (app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).status == 401).then_some(())
    });
}
