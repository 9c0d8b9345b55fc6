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
        Lab,
        client::{As, LEGACY, TOKENS, string},
        program::{Ended, Program},
        store,
    },
    tests,
};

tests![
    OF_FILES: a_backup_of_a_running_server_is_restored,
    a_restore_leaves_nothing_of_the_log_of_a_killed_server,
    an_unusable_backup_is_refused,
    a_failed_backup_leaves_nothing,
    damage_is_found,
    a_server_with_a_damaged_file_is_not_ready,
];
tests![OF_SERVERS: postgres_has_its_own_backups];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn database(lab: &Lab) -> PathBuf {
    lab.store.directory.path().join("tokenbridge.db")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Returns the names of the files next to the store.
fn files(lab: &Lab) -> HashSet<String> {
    let entries = fs::read_dir(lab.store.directory.path()).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn assert_failed(ended: &Ended, told: &str) {
    assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{ended:?}");
    assert!(ended.err.contains(told), "{told}: {ended:?}");
}

/// Overwrites the root page of a table or an index of a database that is not in use.
fn damage(lab: &Lab, name: &str) {
    let [page, size] = [
        format!("SELECT rootpage || '' AS found FROM sqlite_master WHERE name = '{name}'"),
        "SELECT page_size || '' AS found FROM pragma_page_size".to_owned(),
    ]
    .map(|query| lab.store.texts(&query)[0].parse::<u64>().unwrap());
    let mut file = fs::OpenOptions::new().write(true).open(database(lab)).unwrap();
    file.seek(SeekFrom::Start((page - 1) * size)).unwrap();
    file.write_all(&vec![0x5a; usize::try_from(size).unwrap()]).unwrap();
}

fn a_backup_of_a_running_server_is_restored(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    let copy = lab.store.directory.path().join("copy.db");
    let serving = program.serve(&[]);
    let (kept, value) = serving.client.new_token(&json!({ "name": "kept" }));
    let made = program.run(&["backup", text(&copy), "--output", "json"]);
    assert_eq!(made.code, 0, "{made:?}");
    let told: Value = serde_json::from_str(&made.out).unwrap();
    assert_eq!(told["to"], text(&copy));
    assert_eq!(told["bytes"], fs::metadata(&copy).unwrap().len());
    assert_eq!(mode(&copy), 0o600);
    assert_failed(&program.run(&["backup", text(&copy)]), "copy.db exists already");
    serving.client.new_token(&json!({ "name": "later" }));

    let refused = program.run(&["restore", text(&copy)]);
    assert_failed(&refused, "tokenbridge.db is in use by process ");
    serving.client.get(TOKENS, As::Key(&value)).expect(200);
    drop(serving);
    fs::set_permissions(database(lab), fs::Permissions::from_mode(0o640)).unwrap();
    let restored = program.run(&["restore", text(&copy)]);
    assert_eq!(restored.code, 0, "{restored:?}");
    assert_eq!(mode(&database(lab)), 0o640, "the permissions stay");
    let serving = program.serve(&[]);
    let listed = serving.client.get(LEGACY, As::Admin).expect(200).json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["uuid"], kept);
    serving.client.get(TOKENS, As::Key(&value)).expect(200);
    assert!(
        serving.log().contains("run chmod 600"),
        "others can read the file: {}",
        serving.log()
    );
    assert_eq!(program.run(&["check"]).code, 0, "beside a running server");
}

/// SQLite would apply a leftover log to the restored file.
fn a_restore_leaves_nothing_of_the_log_of_a_killed_server(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    let copy = lab.store.directory.path().join("copy.db");
    assert_eq!(program.run(&["backup", text(&copy)]).code, 0);
    let serving = program.serve(&[]);
    serving.client.new_token(&json!({ "name": "later" }));
    serving.signal("KILL");
    serving.wait();
    assert!(files(lab).contains("tokenbridge.db-wal"));
    let restored = program.run(&["restore", text(&copy)]);
    assert_eq!(restored.code, 0, "{restored:?}");
    let expected = ["tokenbridge.db", "copy.db"].map(ToOwned::to_owned);
    assert_eq!(files(lab), HashSet::from(expected));
    assert_eq!(mode(&database(lab)), mode(&copy));
    let serving = program.serve(&[]);
    assert_eq!(serving.client.get(LEGACY, As::Admin).expect(200).json(), json!([]));
    serving.client.new_token(&json!({ "name": "after" }));
    // A missing store is restored too.
    drop(serving);
    for file in ["tokenbridge.db", "tokenbridge.db-wal", "tokenbridge.db-shm"] {
        let _ = fs::remove_file(lab.store.directory.path().join(file));
    }
    assert_eq!(program.run(&["restore", text(&copy)]).code, 0);
    assert_eq!(mode(&database(lab)), 0o600);
    assert_eq!(program.run(&["check"]).out, format!("{} is sound\n", lab.store.url()));
}

fn an_unusable_backup_is_refused(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    let place = lab.store.directory.path();
    let [garbage, foreign, newer] = ["garbage.db", "foreign.db", "newer.db"].map(|name| place.join(name));
    fs::write(&garbage, vec![0x5a; 8192]).unwrap();
    fs::File::create(&foreign).unwrap();
    store::execute(&format!("sqlite:{}", text(&foreign)), "CREATE TABLE tokens (id TEXT)");
    assert_eq!(program.run(&["backup", text(&newer)]).code, 0);
    store::execute(
        &format!("sqlite:{}", text(&newer)),
        "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')",
    );
    let before = (fs::read(database(lab)).unwrap(), files(lab));
    for (file, told) in [
        (&garbage, "file is not a database"),
        (&foreign, "it is not a database of tokenbridge"),
        (&newer, "a newer tokenbridge (it has migration 9999)"),
        (&place.join("missing.db"), "missing.db"),
        (&database(lab), "it is the database itself"),
    ] {
        assert_failed(&program.run(&["restore", text(file)]), told);
    }
    assert_eq!((fs::read(database(lab)).unwrap(), files(lab)), before);
}

fn a_failed_backup_leaves_nothing(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    let place = lab.store.directory.path();
    assert_failed(&program.run(&["backup", "/nowhere/at/all.db"]), "/nowhere/at");
    damage(lab, "tokens");
    let before = files(lab);
    let copy = place.join("copy.db");
    assert_failed(&program.run(&["backup", text(&copy)]), "malformed");
    assert_eq!(files(lab), before);
    let missing = Program::new(&format!("sqlite:{}", text(&place.join("typo.db"))));
    assert_failed(&missing.run(&["backup", text(&copy)]), "typo.db");
    assert_eq!(files(lab), before);
}

fn damage_is_found(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    let findings = || {
        let ended = program.run(&["check", "--output", "json"]);
        let told: Value = serde_json::from_str(&ended.out).unwrap();
        let findings: Vec<String> = told["findings"].as_array().unwrap().iter().map(string).collect();
        assert_eq!(ended.code, i32::from(!findings.is_empty()), "{ended:?}");
        findings
    };
    assert!(findings().is_empty());
    lab.store.execute(
        "PRAGMA foreign_keys = OFF; INSERT INTO grace_values VALUES (zeroblob(32), 77, 0);
         INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')",
    );
    assert!(findings()[0].contains("grace_values refers to a row of tokens that is missing"));
    lab.store.execute("DELETE FROM grace_values");
    assert!(findings()[0].contains("newer tokenbridge (it has migration 9999)"));
    lab.store
        .execute("DELETE FROM __diesel_schema_migrations WHERE version = '9999'");
    damage(lab, "tokens");
    assert!(!findings().is_empty());
    fs::write(database(lab), vec![0x5a; 8192]).unwrap();
    assert_eq!(findings(), ["file is not a database"]);
    fs::remove_file(database(lab)).unwrap();
    let ended = program.run(&["check"]);
    assert_failed(&ended, "there is no database at");
}

fn a_server_with_a_damaged_file_is_not_ready(lab: &Lab) {
    damage(lab, "tokens");
    let app = lab.app();
    app.get("/readyz", As::Nobody).expect(200);
    app.post(TOKENS, As::Admin, &json!({ "name": "n" })).expect(503);
    let unready = app.get("/readyz", As::Nobody).expect(503);
    assert!(
        unready.message().contains("is damaged") && unready.message().contains("tokenbridge restore"),
        "{unready:?}"
    );
    app.get("/healthz", As::Nobody).expect(200);
}

fn postgres_has_its_own_backups(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    for command in ["backup", "restore"] {
        let ended = program.run(&[command, "copy.db"]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains("pg_dump"), "{ended:?}");
    }
    let sound = program.run(&["check"]);
    assert_eq!(sound.code, 0, "{sound:?}");
    lab.store
        .execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')");
    let ended = program.run(&["check"]);
    assert!(ended.code == 1 && ended.out.contains("9999"), "{ended:?}");
}
