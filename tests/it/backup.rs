//! Backup, restore, and check of the SQLite store.

use std::{
    collections::HashSet,
    fs,
    io::{Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    support::{
        TestEnv,
        client::{Auth, LEGACY, TOKENS, string},
        program::{CommandOutput, Program},
        store,
    },
    tests,
};

tests![
    SQLITE_TESTS: a_backup_of_a_running_server_is_restored,
    a_restore_discards_the_wal_of_a_killed_server,
    an_unusable_backup_is_rejected,
    a_failed_backup_leaves_no_files,
    corruption_is_detected,
    a_server_with_a_damaged_file_is_not_ready,
];
tests![POSTGRES_TESTS: backup_commands_refer_to_pg_dump_on_postgres];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn database(env: &TestEnv) -> PathBuf {
    env.store.directory.path().join("tokenbridge.db")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Returns the names of the files next to the store.
fn files(env: &TestEnv) -> HashSet<String> {
    let entries = fs::read_dir(env.store.directory.path()).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn assert_failed(output: &CommandOutput, message: &str) {
    assert_eq!((output.exit_code, output.stderr.lines().count()), (1, 1), "{output:?}");
    assert!(output.stderr.contains(message), "{message}: {output:?}");
}

/// Overwrites the root page of a table or an index of a database that is not in use.
fn damage(env: &TestEnv, name: &str) {
    let [page, size] = [
        format!("SELECT rootpage || '' AS found FROM sqlite_master WHERE name = '{name}'"),
        "SELECT page_size || '' AS found FROM pragma_page_size".to_owned(),
    ]
    .map(|query| env.store.texts(&query)[0].parse::<u64>().unwrap());
    let mut file = fs::OpenOptions::new().write(true).open(database(env)).unwrap();
    file.seek(SeekFrom::Start((page - 1) * size)).unwrap();
    file.write_all(&vec![0x5a; usize::try_from(size).unwrap()]).unwrap();
}

fn a_backup_of_a_running_server_is_restored(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let copy = env.store.directory.path().join("copy.db");
    let server = program.serve(&[]);
    let (kept, value) = server.client.new_token(&json!({ "name": "kept" }));
    let created = program.run(&["backup", text(&copy), "--output", "json"]);
    assert_eq!(created.exit_code, 0, "{created:?}");
    let report: Value = serde_json::from_str(&created.stdout).unwrap();
    assert_eq!(report["to"], text(&copy));
    assert_eq!(report["bytes"], fs::metadata(&copy).unwrap().len());
    assert_eq!(mode(&copy), 0o600);
    assert_failed(&program.run(&["backup", text(&copy)]), "copy.db already exists");
    server.client.new_token(&json!({ "name": "later" }));

    let refused = program.run(&["restore", text(&copy)]);
    assert_failed(&refused, "tokenbridge.db is in use by process ");
    server.client.get(TOKENS, Auth::Key(&value)).expect(200);
    drop(server);
    fs::set_permissions(database(env), fs::Permissions::from_mode(0o640)).unwrap();
    let restored = program.run(&["restore", text(&copy)]);
    assert_eq!(restored.exit_code, 0, "{restored:?}");
    assert_eq!(mode(&database(env)), 0o640, "the permissions stay");
    let server = program.serve(&[]);
    let listed = server.client.get(LEGACY, Auth::Admin).expect(200).json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["uuid"], kept);
    server.client.get(TOKENS, Auth::Key(&value)).expect(200);
    assert!(
        server.log().contains("run chmod 600"),
        "others can read the file: {}",
        server.log()
    );
    assert_eq!(program.run(&["check"]).exit_code, 0, "beside a running server");
}

/// SQLite would apply a leftover log to the restored file.
fn a_restore_discards_the_wal_of_a_killed_server(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let copy = env.store.directory.path().join("copy.db");
    assert_eq!(program.run(&["backup", text(&copy)]).exit_code, 0);
    let server = program.serve(&[]);
    server.client.new_token(&json!({ "name": "later" }));
    server.signal("KILL");
    server.wait();
    assert!(files(env).contains("tokenbridge.db-wal"));
    let restored = program.run(&["restore", text(&copy)]);
    assert_eq!(restored.exit_code, 0, "{restored:?}");
    let expected = ["tokenbridge.db", "copy.db"].map(ToOwned::to_owned);
    assert_eq!(files(env), HashSet::from(expected));
    assert_eq!(mode(&database(env)), mode(&copy));
    let server = program.serve(&[]);
    assert_eq!(server.client.get(LEGACY, Auth::Admin).expect(200).json(), json!([]));
    server.client.new_token(&json!({ "name": "after" }));
    // A missing store is restored too.
    drop(server);
    for file in ["tokenbridge.db", "tokenbridge.db-wal", "tokenbridge.db-shm"] {
        let _ = fs::remove_file(env.store.directory.path().join(file));
    }
    assert_eq!(program.run(&["restore", text(&copy)]).exit_code, 0);
    assert_eq!(mode(&database(env)), 0o600);
    assert_eq!(
        program.run(&["check"]).stdout,
        format!("{} is sound\n", env.store.url())
    );
}

fn an_unusable_backup_is_rejected(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let place = env.store.directory.path();
    let [garbage, foreign, newer] = ["garbage.db", "foreign.db", "newer.db"].map(|name| place.join(name));
    fs::write(&garbage, vec![0x5a; 8192]).unwrap();
    fs::File::create(&foreign).unwrap();
    store::execute(&format!("sqlite:{}", text(&foreign)), "CREATE TABLE tokens (id TEXT)");
    assert_eq!(program.run(&["backup", text(&newer)]).exit_code, 0);
    store::execute(
        &format!("sqlite:{}", text(&newer)),
        "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')",
    );
    let before = (fs::read(database(env)).unwrap(), files(env));
    for (file, message) in [
        (&garbage, "file is not a database"),
        (&foreign, "it is not a tokenbridge database"),
        (&newer, "a newer tokenbridge: it has schema 9999"),
        (&place.join("missing.db"), "missing.db"),
        (&database(env), "it is the database itself"),
    ] {
        assert_failed(&program.run(&["restore", text(file)]), message);
    }
    assert_eq!((fs::read(database(env)).unwrap(), files(env)), before);
}

fn a_failed_backup_leaves_no_files(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let place = env.store.directory.path();
    assert_failed(&program.run(&["backup", "/nowhere/at/all.db"]), "/nowhere/at");
    damage(env, "tokens");
    let before = files(env);
    let copy = place.join("copy.db");
    assert_failed(&program.run(&["backup", text(&copy)]), "malformed");
    assert_eq!(files(env), before);
    let missing = Program::new(&format!("sqlite:{}", text(&place.join("typo.db"))));
    assert_failed(&missing.run(&["backup", text(&copy)]), "typo.db");
    assert_eq!(files(env), before);
}

fn corruption_is_detected(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let findings = || {
        let output = program.run(&["check", "--output", "json"]);
        let report: Value = serde_json::from_str(&output.stdout).unwrap();
        let findings: Vec<String> = report["findings"].as_array().unwrap().iter().map(string).collect();
        assert_eq!(output.exit_code, i32::from(!findings.is_empty()), "{output:?}");
        findings
    };
    assert!(findings().is_empty());
    env.store.execute(
        "PRAGMA foreign_keys = OFF; INSERT INTO grace_values VALUES (zeroblob(32), 77, 0);
         INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')",
    );
    assert!(findings()[0].contains("grace_values refers to a row of tokens that is missing"));
    env.store.execute("DELETE FROM grace_values");
    assert!(findings()[0].contains("newer tokenbridge: it has schema 9999"));
    env.store
        .execute("DELETE FROM __diesel_schema_migrations WHERE version = '9999'");
    damage(env, "tokens");
    assert!(!findings().is_empty());
    fs::write(database(env), vec![0x5a; 8192]).unwrap();
    assert_eq!(findings(), ["file is not a database"]);
    fs::remove_file(database(env)).unwrap();
    let output = program.run(&["check"]);
    assert_failed(&output, "there is no database at");
}

fn a_server_with_a_damaged_file_is_not_ready(env: &TestEnv) {
    damage(env, "tokens");
    let app = env.app();
    app.get("/readyz", Auth::Anonymous).expect(200);
    app.post(TOKENS, Auth::Admin, &json!({ "name": "n" })).expect(503);
    let unready = app.get("/readyz", Auth::Anonymous).expect(503);
    assert!(
        unready.message().contains("is damaged") && unready.message().contains("tokenbridge restore"),
        "{unready:?}"
    );
    app.get("/healthz", Auth::Anonymous).expect(200);
}

fn backup_commands_refer_to_pg_dump_on_postgres(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    for command in ["backup", "restore"] {
        let output = program.run(&[command, "copy.db"]);
        assert_eq!(output.exit_code, 2, "{output:?}");
        assert!(output.stderr.contains("pg_dump"), "{output:?}");
    }
    let sound = program.run(&["check"]);
    assert_eq!(sound.exit_code, 0, "{sound:?}");
    env.store
        .execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')");
    let output = program.run(&["check"]);
    assert!(output.exit_code == 1 && output.stdout.contains("9999"), "{output:?}");
}
