//! A move from one store to another.

use serde_json::{Value, json};

use crate::{
    support::{
        TestEnv,
        client::{Auth, LEGACY, TOKENS, string},
        program::{CommandOutput, Program},
        store::StoreKind,
    },
    tests,
};

tests![POSTGRES_TESTS: stores_are_migrated_in_both_directions, a_destination_in_use_is_not_overwritten];

fn migrate(from: &str, to: &str) -> CommandOutput {
    Program::new("sqlite:nowhere.db").run(&["migrate", "--from", from, "--to", to, "--output", "json"])
}

/// Creates a SQLite store with records of every kind. Returns two valid values, one of which is in its grace period.
fn filled() -> (TestEnv, [String; 2]) {
    let env = TestEnv::new(StoreKind::Sqlite);
    let app = env.app();
    let body = json!({
        "name": "n\u{e9}w \"1\"", "permissions": ["AlertRead", "UserRead"], "allowedCIDRBlocks": ["127.0.0.0/8", "2001:db8::/32"],
        "expiresAt": env.clock.seconds_from_now(1_000_000),
    });
    let (id, old) = app.new_token(&body);
    let rotated = app
        .post(
            &format!("{TOKENS}/{id}/rotate"),
            Auth::Admin,
            &json!({ "gracePeriodSeconds": 600_000 }),
        )
        .expect(200)
        .json();
    for n in 0..1500 {
        let uuid = format!("{n:08x}-0000-4000-8000-000000000000");
        env.store.execute(&format!(
            "INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, created_at, created_by_type, created_by_id)
             VALUES ('{uuid}', 'bulk {n}', '', '', {n}, 'system', 'cli')"
        ));
    }
    let uuid = app.new_legacy_token(&json!({ "name": "old", "read": true }));
    app.put(&format!("{LEGACY}/{uuid}"), Auth::Admin, &json!({ "change": true }))
        .expect(200);
    app.delete(&format!("{LEGACY}/00000007-0000-4000-8000-000000000000"), Auth::Admin)
        .expect(204);
    let new = string(&rotated["value"]);
    app.get(&format!("{TOKENS}/self"), Auth::Key(&new)).expect(200);
    app.stop();
    (env, [old, new])
}

fn stores_are_migrated_in_both_directions(postgres: &TestEnv) {
    let (sqlite, values) = filled();
    let to = postgres.store.fresh_url();
    let moved = migrate(&sqlite.store.url(), &to);
    assert_eq!(moved.exit_code, 0, "{moved:?}");
    let contents: Value = serde_json::from_str(&moved.stdout).unwrap();
    assert_eq!(
        (&contents["tokens"], &contents["graceValues"], &contents["admins"]),
        (&json!(1501), &json!(1), &json!(1))
    );
    // A create, an update and a delete by the admin, on one day.
    assert_eq!(
        (&contents["legacyCallers"], &contents["legacyCalls"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(contents["digest"].as_str().unwrap().len(), 64);
    // Repeating the move has the same result, also after the source has changed.
    assert_eq!(migrate(&sqlite.store.url(), &to).stdout, moved.stdout);
    let before = sqlite.app();
    let shown = before.get(LEGACY, Auth::Admin).expect(200).text;
    before.new_token(&json!({ "name": "late" }));
    before.stop();
    let again = migrate(&sqlite.store.url(), &to);
    assert_eq!(serde_json::from_str::<Value>(&again.stdout).unwrap()["tokens"], 1502);

    let after = sqlite.app_on(&to, &[]);
    assert!(
        after
            .get(LEGACY, Auth::Admin)
            .expect(200)
            .text
            .starts_with(shown.trim_end_matches(']'))
    );
    for value in &values {
        after.get(&format!("{TOKENS}/self"), Auth::Key(value)).expect(200);
    }
    let usage = after.get("/legacy-usage", Auth::Admin).expect(200).json();
    let methods: Vec<_> = usage["callers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|caller| string(&caller["method"]))
        .collect();
    assert!(
        ["GET", "POST", "PUT", "DELETE"]
            .iter()
            .all(|method| methods.contains(&(*method).to_owned())),
        "{usage:#}"
    );
    // Row numbers continue after the move.
    let (id, _) = after.new_token(&json!({ "name": "after the move" }));
    let list = after.get(LEGACY, Auth::Admin).json();
    assert_eq!(list.as_array().unwrap().last().unwrap()["uuid"], id);
    after.stop();

    let back = format!("sqlite:{}", sqlite.store.directory.path().join("back.db").display());
    let moved = migrate(&to, &back);
    let there = serde_json::from_str::<Value>(&migrate(&to, &back).stdout).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&moved.stdout).unwrap(), there);
    assert_eq!((&there["tokens"], &there["graceValues"]), (&json!(1503), &json!(1)));
    sqlite
        .app_on(&back, &[])
        .get(&format!("{TOKENS}/{id}"), Auth::Admin)
        .expect(200);
}

fn a_destination_in_use_is_not_overwritten(postgres: &TestEnv) {
    let (sqlite, values) = filled();
    let app = postgres.app();
    let (id, _) = app.new_token(&json!({ "name": "of the destination" }));
    let refused = migrate(&sqlite.store.url(), &postgres.store.url());
    assert_eq!(
        (refused.exit_code, refused.stderr.lines().count()),
        (1, 1),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("so it is not an earlier copy"), "{refused:?}");
    assert_eq!(app.get(LEGACY, Auth::Admin).json()[0]["uuid"], id);
    // A copy that has changed since the move is in use too.
    let copy = postgres.store.fresh_url();
    assert_eq!(migrate(&sqlite.store.url(), &copy).exit_code, 0);
    let changed = sqlite.app_on(&copy, &[]);
    changed.new_token(&json!({ "name": "since" }));
    changed.stop();
    assert_eq!(migrate(&sqlite.store.url(), &copy).exit_code, 1);
    // So is one with a token that has been used since.
    let copy = postgres.store.fresh_url();
    assert_eq!(migrate(&sqlite.store.url(), &copy).exit_code, 0);
    sqlite.clock.advance(std::time::Duration::from_secs(1));
    let used = sqlite.app_on(&copy, &[]);
    used.get(&format!("{TOKENS}/self"), Auth::Key(&values[1])).expect(200);
    used.stop();
    assert_eq!(migrate(&sqlite.store.url(), &copy).exit_code, 1);
    // So is one whose legacy API has been called since, even without success.
    let copy = postgres.store.fresh_url();
    assert_eq!(migrate(&sqlite.store.url(), &copy).exit_code, 0);
    sqlite.clock.advance(std::time::Duration::from_secs(1));
    let used = sqlite.app_on(&copy, &[]);
    used.get(LEGACY, Auth::Anonymous).expect(401);
    used.stop();
    assert_eq!(migrate(&sqlite.store.url(), &copy).exit_code, 1);
    let missing = migrate("sqlite:/nowhere/at/all.db", &copy);
    assert!(
        missing.exit_code == 1 && missing.stderr.contains("there is no database"),
        "{missing:?}"
    );
    assert_eq!(
        Program::new("sqlite:x.db")
            .run(&["migrate", "--from", "sqlite:x.db"])
            .exit_code,
        2
    );
}
