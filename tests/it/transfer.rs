//! A move from one store to another.

use serde_json::{Value, json};

use crate::{
    support::{
        Lab,
        client::{As, LEGACY, TOKENS, string},
        program::{Ended, Program},
        store::Kind,
    },
    tests,
};

tests![OF_SERVERS: everything_is_moved_both_ways, a_destination_in_use_is_left_alone];

fn migrate(from: &str, to: &str) -> Ended {
    Program::new("sqlite:nowhere.db").run(&["migrate", "--from", from, "--to", to, "--output", "json"])
}

/// A SQLite store with something of everything; gives two values that work, of which one is in its grace period.
fn filled() -> (Lab, [String; 2]) {
    let lab = Lab::new(Kind::Sqlite);
    let app = lab.app();
    let body = json!({
        "name": "n\u{e9}w \"1\"", "permissions": ["AlertRead", "UserRead"], "allowedCIDRBlocks": ["127.0.0.0/8", "2001:db8::/32"],
        "expiresAt": lab.clock.in_seconds(1_000_000),
    });
    let (id, old) = app.new_token(&body);
    let rotated = app
        .post(
            &format!("{TOKENS}/{id}/rotate"),
            As::Admin,
            &json!({ "gracePeriodSeconds": 600_000 }),
        )
        .expect(200)
        .json();
    for n in 0..1500 {
        let uuid = format!("{n:08x}-0000-4000-8000-000000000000");
        lab.store.execute(&format!(
            "INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, created_at, created_by_type, created_by_id)
             VALUES ('{uuid}', 'bulk {n}', '', '', {n}, 'system', 'cli')"
        ));
    }
    let uuid = app.new_legacy_token(&json!({ "name": "old", "read": true }));
    app.put(&format!("{LEGACY}/{uuid}"), As::Admin, &json!({ "change": true }))
        .expect(200);
    app.delete(&format!("{LEGACY}/00000007-0000-4000-8000-000000000000"), As::Admin)
        .expect(204);
    let new = string(&rotated["value"]);
    app.get(&format!("{TOKENS}/self"), As::Key(&new)).expect(200);
    app.stop();
    (lab, [old, new])
}

fn everything_is_moved_both_ways(postgres: &Lab) {
    let (sqlite, values) = filled();
    let to = postgres.store.fresh_url();
    let moved = migrate(&sqlite.store.url(), &to);
    assert_eq!(moved.code, 0, "{moved:?}");
    let contents: Value = serde_json::from_str(&moved.out).unwrap();
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
    // Again, and it is the same; also when the source has gone on meanwhile.
    assert_eq!(migrate(&sqlite.store.url(), &to).out, moved.out);
    let before = sqlite.app();
    let shown = before.get(LEGACY, As::Admin).expect(200).text;
    before.new_token(&json!({ "name": "late" }));
    before.stop();
    let again = migrate(&sqlite.store.url(), &to);
    assert_eq!(serde_json::from_str::<Value>(&again.out).unwrap()["tokens"], 1502);

    let after = sqlite.app_on(&to, &[]);
    assert!(
        after
            .get(LEGACY, As::Admin)
            .expect(200)
            .text
            .starts_with(shown.trim_end_matches(']'))
    );
    for value in &values {
        after.get(&format!("{TOKENS}/self"), As::Key(value)).expect(200);
    }
    let usage = after.get("/legacy-usage", As::Admin).expect(200).json();
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
    // Numbers go on where they were.
    let (id, _) = after.new_token(&json!({ "name": "after the move" }));
    let list = after.get(LEGACY, As::Admin).json();
    assert_eq!(list.as_array().unwrap().last().unwrap()["uuid"], id);
    after.stop();

    let back = format!("sqlite:{}", sqlite.store.directory.path().join("back.db").display());
    let moved = migrate(&to, &back);
    let there = serde_json::from_str::<Value>(&migrate(&to, &back).out).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&moved.out).unwrap(), there);
    assert_eq!((&there["tokens"], &there["graceValues"]), (&json!(1503), &json!(1)));
    sqlite
        .app_on(&back, &[])
        .get(&format!("{TOKENS}/{id}"), As::Admin)
        .expect(200);
}

fn a_destination_in_use_is_left_alone(postgres: &Lab) {
    let (sqlite, values) = filled();
    let app = postgres.app();
    let (id, _) = app.new_token(&json!({ "name": "of the destination" }));
    let refused = migrate(&sqlite.store.url(), &postgres.store.url());
    assert_eq!((refused.code, refused.err.lines().count()), (1, 1), "{refused:?}");
    assert!(refused.err.contains("a life of its own"), "{refused:?}");
    assert_eq!(app.get(LEGACY, As::Admin).json()[0]["uuid"], id);
    // A copy that somebody has changed since is in use, too.
    let copy = postgres.store.fresh_url();
    assert_eq!(migrate(&sqlite.store.url(), &copy).code, 0);
    let changed = sqlite.app_on(&copy, &[]);
    changed.new_token(&json!({ "name": "since" }));
    changed.stop();
    assert_eq!(migrate(&sqlite.store.url(), &copy).code, 1);
    // So is one of whose tokens one was used since.
    let copy = postgres.store.fresh_url();
    assert_eq!(migrate(&sqlite.store.url(), &copy).code, 0);
    sqlite.clock.advance(std::time::Duration::from_secs(1));
    let used = sqlite.app_on(&copy, &[]);
    used.get(&format!("{TOKENS}/self"), As::Key(&values[1])).expect(200);
    used.stop();
    assert_eq!(migrate(&sqlite.store.url(), &copy).code, 1);
    // And one that somebody has called through a legacy door, if only in vain.
    let copy = postgres.store.fresh_url();
    assert_eq!(migrate(&sqlite.store.url(), &copy).code, 0);
    sqlite.clock.advance(std::time::Duration::from_secs(1));
    let used = sqlite.app_on(&copy, &[]);
    used.get(LEGACY, As::Nobody).expect(401);
    used.stop();
    assert_eq!(migrate(&sqlite.store.url(), &copy).code, 1);
    let missing = migrate("sqlite:/nowhere/at/all.db", &copy);
    assert!(
        missing.code == 1 && missing.err.contains("there is no database"),
        "{missing:?}"
    );
    assert_eq!(
        Program::new("sqlite:x.db")
            .run(&["migrate", "--from", "sqlite:x.db"])
            .code,
        2
    );
}
