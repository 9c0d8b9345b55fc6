//! The same tokens through both APIs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    support::{
        MODIFY, READ, TestApp, TestEnv,
        client::{Auth, LEGACY, TOKENS, string},
    },
    tests,
};

tests![
    a_legacy_token_is_a_new_token,
    a_new_token_is_a_legacy_token,
    a_legacy_update_preserves_the_other_fields,
    both_apis_write_the_same_rows,
    concurrent_updates_lose_nothing,
    concurrent_rotations_leave_one_value,
];

fn a_legacy_token_is_a_new_token(env: &TestEnv) {
    let app = env.app();
    let uuid = app.new_legacy_token(&json!({ "name": "old", "read": true }));
    let seen = app.get(&format!("{TOKENS}/{uuid}"), Auth::Admin).expect(200).json();
    assert_eq!((&seen["name"], &seen["permissions"]), (&json!("old"), &json!([READ])));
    assert_eq!(seen["createdBy"], json!({ "id": "admin", "type": "user" }));
    assert_eq!(
        app.get(&format!("{TOKENS}?state=legacy"), Auth::Admin).json()["results"][0]["id"],
        uuid
    );
    let rotated = app
        .post(&format!("{TOKENS}/{uuid}/rotate"), Auth::Admin, &json!({}))
        .expect(200)
        .json();
    let value = string(&rotated["value"]);
    assert_eq!(
        app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200).json()["id"],
        uuid
    );
    assert_eq!(
        app.get(&format!("{TOKENS}?state=legacy"), Auth::Admin).json()["results"],
        json!([])
    );
    app.delete(&format!("{TOKENS}/{uuid}"), Auth::Admin).expect(204);
    assert_eq!(app.get(LEGACY, Auth::Admin).text, "[]");
}

fn a_new_token_is_a_legacy_token(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "new", "permissions": [MODIFY, "UserRead"] }));
    let seen = app.get(LEGACY, Auth::Admin).expect(200).text;
    assert_eq!(
        seen,
        format!(r#"[{{"uuid":"{id}","name":"new","read":false,"change":true}}]"#)
    );
    app.post(
        &format!("{TOKENS}/{id}"),
        Auth::Admin,
        &json!({ "permissions": [READ] }),
    )
    .expect(200);
    let seen = app.get(&format!("{LEGACY}/{id}"), Auth::Admin).json();
    assert_eq!((&seen["read"], &seen["change"]), (&json!(true), &json!(false)));
    app.delete(&format!("{LEGACY}/{id}"), Auth::Admin).expect(204);
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(401);
}

fn a_legacy_update_preserves_the_other_fields(env: &TestEnv) {
    let app = env.app();
    let end = env.clock.seconds_from_now(3600);
    let body = json!({ "name": "n", "permissions": ["UserRead", READ], "allowedCIDRBlocks": ["127.0.0.0/8"], "expiresAt": end });
    let (id, value) = app.new_token(&body);
    env.clock.advance(Duration::from_secs(1));
    app.put(
        &format!("{LEGACY}/{id}"),
        Auth::Admin,
        &json!({ "name": "m", "read": false, "change": true }),
    )
    .expect(200);
    let after = app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200).json();
    assert_eq!(
        (&after["name"], &after["permissions"]),
        (&json!("m"), &json!([MODIFY, "UserRead"]))
    );
    assert_eq!(
        (&after["allowedCIDRBlocks"], &after["expiresAt"]),
        (&json!(["127.0.0.0/8"]), &json!(end))
    );
    assert_eq!(after["updatedAt"], env.clock.seconds_from_now(0));
    assert_eq!(after["updatedBy"], json!({ "id": "admin", "type": "user" }));
}

/// Returns the stored fields of every token except its ID, in row order.
fn rows(env: &TestEnv) -> Vec<String> {
    env.store.texts(
        "SELECT name || '|' || permissions || '|' || allowed_cidr_blocks || '|' || (value_hash IS NULL) || '|' || created_at || '|'
             || created_by_type || '|' || created_by_id || '|' || coalesce(updated_at, 0) || '|' || coalesce(updated_by_type, '') || '|'
             || coalesce(updated_by_id, '') || '|' || coalesce(expires_at, 0) AS found
         FROM tokens ORDER BY seq",
    )
}

fn both_apis_write_the_same_rows(env: &TestEnv) {
    let app = env.app();
    let legacy = app.new_legacy_token(&json!({ "name": "n", "read": true }));
    let (new, _) = app.new_token(&json!({ "name": "n", "permissions": [READ] }));
    let without_value = |row: &String| {
        row.replace("|1|", "|")
            .replace("|0|", "|")
            .replace("|true|", "|")
            .replace("|false|", "|")
    };
    let same = || {
        let rows = rows(env);
        assert_eq!(without_value(&rows[0]), without_value(&rows[1]));
    };
    same();
    let steps: [(Value, Value); 4] = [
        (json!({ "name": "m" }), json!({ "name": "m" })),
        (json!({ "change": true }), json!({ "permissions": [MODIFY, READ] })),
        (json!({ "read": false }), json!({ "permissions": [MODIFY] })),
        (
            json!({ "name": "k", "read": true, "change": false }),
            json!({ "name": "k", "permissions": [READ] }),
        ),
    ];
    for (through_legacy, through_new) in steps {
        env.clock.advance(Duration::from_secs(1));
        app.put(&format!("{LEGACY}/{legacy}"), Auth::Admin, &through_legacy)
            .expect(200);
        app.post(&format!("{TOKENS}/{new}"), Auth::Admin, &through_new)
            .expect(200);
        same();
    }
    // Each API also shows the token that was created through the other one.
    let view = |id: &str| app.get(&format!("{LEGACY}/{id}"), Auth::Admin).text.replace(id, "");
    assert_eq!(view(&legacy), view(&new));
    app.delete(&format!("{TOKENS}/{legacy}"), Auth::Admin).expect(204);
    app.delete(&format!("{LEGACY}/{new}"), Auth::Admin).expect(204);
    assert!(rows(env).is_empty());
}

/// Does `work` many times at once, on two servers over the same store.
fn run_concurrently(apps: &[TestApp; 2], times: usize, work: impl Fn(&TestApp, usize) + Sync) {
    std::thread::scope(|scope| {
        for n in 0..times {
            let work = &work;
            scope.spawn(move || work(&apps[n % 2], n));
        }
    });
}

fn concurrent_updates_lose_nothing(env: &TestEnv) {
    let apps = [env.app(), env.app()];
    let app = &apps[0];
    let (id, _) = app.new_token(&json!({ "name": "n", "permissions": [] }));
    let legacy = format!("{LEGACY}/{id}");
    for round in 0..20 {
        let held = round % 2 == 0;
        run_concurrently(&apps, 2, |app, n| {
            let field = ["read", "change"][n];
            app.put(&legacy, Auth::Admin, &json!({ field: held })).expect(200);
        });
        let after = app.get(&legacy, Auth::Admin).json();
        assert_eq!(
            (&after["read"], &after["change"]),
            (&json!(held), &json!(held)),
            "round {round}"
        );
    }
}

fn concurrent_rotations_leave_one_value(env: &TestEnv) {
    let apps = [env.app(), env.app()];
    let app = &apps[0];
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    let values = std::sync::Mutex::new(Vec::new());
    run_concurrently(&apps, 16, |app, _| {
        let rotated = app
            .post(&format!("{TOKENS}/{id}/rotate"), Auth::Admin, &json!({}))
            .expect(200)
            .json();
        values.lock().unwrap().push(string(&rotated["value"]));
    });
    let values = values.into_inner().unwrap();
    let working = values
        .iter()
        .filter(|value| app.get(&format!("{TOKENS}/self"), Auth::Key(value)).status == 200);
    assert_eq!((values.len(), working.count()), (16, 1));
}
