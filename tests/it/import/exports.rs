//! Imports of exports.

use serde_json::json;

use super::{ONE, assert_output, import, import_text, list};
use crate::{
    support::{
        TestEnv,
        bamboo::{Behavior, FakeBamboo},
        client::{Auth, TOKENS, string},
        program::Program,
    },
    tests,
};

tests![
    an_export_round_trips,
    an_export_is_merged_into_existing_tokens,
    a_value_belongs_to_one_token,
    deleted_tokens_are_not_reimported_by_default,
    admins_are_imported_only_on_request,
];

fn an_export_round_trips(env: &TestEnv) {
    let app = env.app();
    app.new_legacy_token(&json!({ "name": "agent \"é\"", "read": true }));
    let (id, old) = app.new_token(&json!({
        "name": "full", "permissions": ["AlertRead"], "allowedCIDRBlocks": ["127.0.0.0/8", "2001:db8::/32"],
        "expiresAt": env.clock.seconds_from_now(3600),
    }));
    let rotation = json!({ "gracePeriodSeconds": 600 });
    let value = string(
        &app.post(&format!("{TOKENS}/{id}/rotate"), Auth::Admin, &rotation)
            .json()["value"],
    );
    app.post(&format!("{TOKENS}/{id}"), Auth::Key(&value), &json!({ "name": "x" }))
        .expect(403);
    app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &json!({ "name": "renamed" }))
        .expect(200);
    app.get(&format!("{TOKENS}/self"), Auth::Key(&old)).expect(200);
    app.stop();
    let here = Program::new(&env.store.url());
    let without_admins = here.run(&["export"]);
    assert_output(&without_admins, 0, &["2 tokens and 0 admins exported"]);
    assert!(!without_admins.stdout.contains("argon2") && !without_admins.stdout.contains("tbk_"));
    let file = env.store.directory.path().join("export.jsonl");
    let file = file.to_str().unwrap();
    assert_output(
        &here.run(&["export", file, "--with-admins"]),
        0,
        &["2 tokens and 1 admins exported"],
    );
    assert_output(&here.run(&["export", file]), 1, &["cannot create"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let url = env.store.fresh_url();
    let there = Program::new(&url);
    assert_output(
        &there.run(&["import", file]),
        1,
        &["is an admin; use --with-admins to import admins", "nothing was written"],
    );
    let with_admins = ["import", file, "--with-admins"];
    assert_output(
        &there.run(&with_admins),
        0,
        &["3 created, 0 unchanged, 0 changed, 0 refused"],
    );
    assert_output(&there.run(&with_admins), 0, &["0 created, 3 unchanged"]);
    let again = there.run(&["export", "--with-admins"]);
    assert_eq!(again.stdout, std::fs::read_to_string(file).unwrap());
    let app = env.app_on(&url, &[]);
    for key in [&value, &old] {
        app.get(&format!("{TOKENS}/self"), Auth::Key(key)).expect(200);
    }
    app.get(TOKENS, Auth::Admin).expect(200);
}

fn an_export_is_merged_into_existing_tokens(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let export = Program::new(&env.store.url()).run(&["export"]).stdout;
    // A later use does not count as a difference.
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    app.stop();
    assert_output(
        &import_text(env, &export, &["--update"]),
        0,
        &["1 unchanged, 0 changed"],
    );
    let app = env.app();
    let rotated = app
        .send("POST", &format!("{TOKENS}/{id}/rotate"), Auth::Admin, &[], "")
        .expect(200);
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(401);
    assert_output(
        &import_text(env, &export, &[]),
        1,
        &["differs in values or times; use --update"],
    );
    assert_output(
        &import_text(env, &export, &["--update", "--only", ONE]),
        0,
        &["0 unchanged, 0 changed"],
    );
    assert_output(
        &import_text(env, &export, &["--update", "--only", &id]),
        0,
        &["0 unchanged, 1 changed"],
    );
    let used = "SELECT last_used_at || '' AS found FROM tokens WHERE last_used_at IS NOT NULL";
    assert_eq!(env.store.texts(used).len(), 1, "a last use does not go backwards");
    crate::support::wait_until("the server knows the change", || {
        let new = string(&rotated.json()["value"]);
        let statuses = [&value, &new].map(|key| app.get(&format!("{TOKENS}/self"), Auth::Key(key)).status);
        (statuses == [200, 401]).then_some(())
    });
    let half: String = export.lines().take(2).collect::<Vec<_>>().join("\n");
    assert_output(&import_text(env, &half, &[]), 1, &["the export is truncated"]);
    let newer = export.replace("\"version\":1", "\"version\":2");
    assert_output(&import_text(env, &newer, &[]), 1, &["version 2"]);
}

fn a_value_belongs_to_one_token(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "victim", "permissions": ["AlertRead"] }));
    let export = Program::new(&env.store.url()).run(&["export"]).stdout;
    let current = export.replace(&id, ONE);
    let hash = export
        .split("\"valueHash\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let grace = format!("[{{\"valueHash\":\"{hash}\",\"validUntil\":\"2099-01-01T00:00:00Z\"}}]");
    let in_grace = current
        .replace(&format!("\"valueHash\":\"{hash}\""), "\"valueHash\":null")
        .replace("\"graceValues\":[]", &format!("\"graceValues\":{grace}"));
    let twice = export.replace("\"graceValues\":[]", &format!("\"graceValues\":{grace}"));
    for (thief, reason) in [
        (&current, "one of its values belongs to another token"),
        (&in_grace, "one of its values belongs to another token"),
        (&twice, "one of its values occurs twice"),
    ] {
        assert_ne!(*thief, export);
        assert_output(
            &import_text(env, thief, &["--keep-going", "--update"]),
            1,
            &[reason, "1 refused"],
        );
    }
    let signed = export.replace(hash, &"+f".repeat(32));
    assert_output(
        &import_text(env, &signed, &["--update"]),
        1,
        &["must be 64 hexadecimal digits"],
    );
    app.delete(&format!("{TOKENS}/{id}"), Auth::Admin).expect(204);
    app.get("/verify?require=AlertRead", Auth::Key(&value)).expect(401);
}

fn deleted_tokens_are_not_reimported_by_default(env: &TestEnv) {
    assert_output(&import_text(env, &list(), &[]), 0, &["2 created"]);
    env.app().delete(&format!("{TOKENS}/{ONE}"), Auth::Admin).expect(204);
    assert_output(
        &import_text(env, &list(), &[]),
        1,
        &["was deleted from this store; use --update to restore it"],
    );
    assert_output(
        &import_text(env, &list(), &["--update"]),
        0,
        &["1 created, 1 unchanged"],
    );
}

fn admins_are_imported_only_on_request(env: &TestEnv) {
    let here = Program::new(&env.store.url());
    let export = here.run(&["export", "--with-admins"]).stdout;
    let bamboo = FakeBamboo::start(Behavior {
        body: export.replace("\"name\":\"admin\"", "\"name\":\"backdoor\""),
        ..Behavior::default()
    });
    let address = format!("http://{}", bamboo.address);
    assert_output(
        &import(env, &["--with-admins", &address]),
        1,
        &["is not the token list of a legacy server"],
    );
    let line = export.lines().find(|line| line.contains("\"admin\"")).unwrap();
    let twice = export
        .replace(line, &format!("{line}\n{line}"))
        .replace("\"admins\":1", "\"admins\":2");
    assert_output(
        &import_text(env, &twice, &["--with-admins"]),
        1,
        &["an earlier row has the same uuid or name"],
    );
    for hash in [
        "junk",
        "$argon2id$v=19$m=4000000,t=50,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        let known = line
            .split("\"passwordHash\":\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let costly = export.replace(known, hash);
        assert_output(
            &import_text(env, &costly, &["--with-admins", "--update"]),
            1,
            &["must be the argon2id hash of a password"],
        );
    }
    assert_eq!(here.run(&["export", "--with-admins"]).stdout, export);
}
