//! Upgrades of the stores of earlier versions, and servers of two versions on one store.

mod history;

use serde_json::{Value, json};

use crate::{
    support::{
        TestEnv,
        client::{Auth, LEGACY, TOKENS},
        program::Program,
    },
    tests,
};
use history::{Content, RENAMED, Row, Schema, Step, content, history};

tests![
    an_upgrade_from_each_schema_keeps_every_row,
    migrations_only_add_to_the_schema,
    an_earlier_server_can_write_to_the_newest_schema,
    a_newer_schema_is_refused_with_the_way_back,
    released_migrations_are_unchanged,
];

/// The last migration that renamed a column. Later ones only add to the schema.
const EXPANDS_SINCE: &str = "0007";

/// Returns the URL of a new store with the schema and the rows of these steps.
fn store_after(env: &TestEnv, steps: &[Step]) -> String {
    let url = env.store.fresh_url();
    for step in steps {
        step.apply(&url);
        step.write_rows(&url);
    }
    url
}

fn migrate(url: &str) {
    let migrated = Program::new(url).run(&["migrate"]);
    assert_eq!(migrated.exit_code, 0, "{migrated:?}");
}

/// The token's name that migration 0015 adds to an event: from its details, else from the preceding
/// event, else the current one.
fn token_name(event: &Row) -> Option<&'static str> {
    match event["seq"].as_i64() {
        Some(2) => Some("agent"),
        Some(3 | 4 | 9) => Some("legacy agent"),
        Some(5) => Some("deplöy \"1\""),
        Some(6) => Some("child"),
        _ => None,
    }
}

/// Returns what the upgrade makes of a row: columns that were added have their default.
fn upgraded(table: &str, row: &Row, schema: &Schema) -> Row {
    let mut row = row.clone();
    if let Some(value) = row.remove(RENAMED.0) {
        row.insert(RENAMED.1.to_owned(), value);
    }
    if table == "audit_events" && !row.contains_key("token_name") {
        let name = token_name(&row);
        row.insert("token_name".to_owned(), json!(name));
    }
    for (column, default) in &schema.defaults[table] {
        row.entry(column).or_insert_with(|| default.clone());
    }
    row
}

fn assert_upgraded(before: &Content, after: &Content, schema: &Schema) {
    for (table, rows) in after {
        let Some(earlier) = before.get(table) else {
            let expected = usize::from(table == "revision");
            assert_eq!(rows.len(), expected, "{table} was added: {rows:?}");
            continue;
        };
        let mut expected: Vec<Row> = earlier.iter().map(|row| upgraded(table, row, schema)).collect();
        expected.sort_by_key(|row| json!(row).to_string());
        assert_eq!(rows, &expected, "{table}");
    }
    assert!(
        before.keys().all(|table| after.contains_key(table)),
        "no table is removed"
    );
}

/// The values that the rows of each migration belong to: the migration, the value, and the status of
/// its use.
const VALUES: &[(&str, &str, u16)] = &[
    ("0001", "tbk_LXf8yELO1keHMv2ZyuOyN4SXL9J2ieZRIw6wxpUDdi0Ca1Ntw", 200),
    // In its grace period.
    ("0001", "tbk_MJ51j9NdOuApHjMgi54BCoG-Et4QNxT8XOWpQ7k95V8D_d84g", 200),
    ("0001", "tbk_T65Ym3LUHPj2VpFwsJIUoCOpCqM6409rarq09T_CFgMEewdqQ", 200),
    // Expired.
    ("0001", "tbk_zA7exY92W35vhQgiKUII90d0xKodOPYxPwvVTx9Tibwnr-ltg", 401),
    ("0008", "tbk_Pe5xRVVhH7s1W0IeZcPOGZQiXGBjDd05-wpnt-LZnSAhP1Kcw", 200),
    // Disabled.
    ("0009", "tbk_7nN-ekm3lh7P6wDoGvvFR7LKB1Rl6HcnBtEj99u7R3YNk6JRw", 401),
    ("0011", "tbk_d7-Get8BlqtqKKFKu6J8dse-ijy4eObH_XsXZWL0tPMmDLpBA", 200),
];

/// Uses the credentials of a store with the rows up to `version`, and creates a token.
fn assert_credentials_work(env: &TestEnv, url: &str, version: &str) {
    let app = env.app_on(url, &["--legacy-uuid-auth"]);
    let listed = app.get(LEGACY, Auth::Admin).expect(200).json();
    assert_eq!(
        listed[0],
        json!({ "uuid": "460e0288-3987-4a3f-b2e2-8d94716126e4", "name": "legacy agent", "read": true, "change": true })
    );
    for (since, value, status) in VALUES {
        if *since <= version {
            app.get(&format!("{TOKENS}/self"), Auth::Key(value)).expect(*status);
        }
    }
    let uri = "/rest/agents/1.0/7/state/text?uuid=460e0288-3987-4a3f-b2e2-8d94716126e4";
    let headers = [("x-original-method", "PUT"), ("x-original-uri", uri)];
    app.send("GET", "/verify", Auth::Anonymous, &headers, "").expect(200);
    if "0010" <= version {
        let auditor = Auth::Basic("ops", "tr0ub4dor and three");
        app.get(TOKENS, auditor).expect(200);
        app.post(TOKENS, auditor, &json!({ "name": "refused" })).expect(403);
    }
    let (id, value) = app.new_token(&json!({ "name": "after the upgrade" }));
    let itself = app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200).json();
    assert_eq!(itself["id"], id);
    app.stop();
    let checked = Program::new(url).run(&["check"]);
    assert_eq!(checked.exit_code, 0, "{checked:?}");
}

fn an_upgrade_from_each_schema_keeps_every_row(env: &TestEnv) {
    let steps = history(env.kind);
    for (index, step) in steps.iter().enumerate() {
        let url = store_after(env, &steps[..=index]);
        let before = content(&url);
        migrate(&url);
        assert_upgraded(&before, &content(&url), &Schema::of(&url));
        assert_credentials_work(env, &url, &step.version());
    }
}

/// An earlier server names only columns that it knows: its statements work as long as these exist,
/// and new columns need no value.
fn migrations_only_add_to_the_schema(env: &TestEnv) {
    let url = env.store.fresh_url();
    let mut breaks = Vec::new();
    let mut before: Option<Schema> = None;
    for step in history(env.kind) {
        step.apply(&url);
        let after = Schema::of(&url);
        let broken = before.iter().flat_map(|before| before.broken_by(&after));
        breaks.extend(broken.map(|column| format!("{}: {column}", step.version())));
        before = Some(after);
    }
    // The server of 0006 must be stopped before the upgrade. Later ones need not.
    let expected = ["audit_events.channel needs a value", "audit_events.door is missing"];
    assert_eq!(breaks, expected.map(|column| format!("{EXPANDS_SINCE}: {column}")));
}

fn an_earlier_server_can_write_to_the_newest_schema(env: &TestEnv) {
    let steps = history(env.kind);
    let (upgraded, newest) = (store_after(env, &steps), env.store.fresh_url());
    migrate(&newest);
    for step in &steps {
        step.write_rows(&newest);
    }
    let [mut of_upgrade, mut of_newest] = [&upgraded, &newest].map(|url| content(url));
    for content in [&mut of_upgrade, &mut of_newest] {
        for row in content.values_mut().flatten() {
            row.remove("store_id");
            // An earlier server does not know this column, and only the migration fills it.
            row.remove("token_name");
        }
        for rows in content.values_mut() {
            rows.sort_by_key(|row| json!(row).to_string());
        }
    }
    assert_eq!(of_newest, of_upgrade);
    assert_credentials_work(env, &newest, "9999");
}

fn a_newer_schema_is_refused_with_the_way_back(env: &TestEnv) {
    let newest = history(env.kind).last().unwrap().version();
    env.store
        .execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('9998'), ('9999')");
    let expected = format!(
        "was written by a newer tokenbridge: it has schema 9999, and tokenbridge {} supports schemas up to {newest}; \
         use the newer version, or restore the backup from before the upgrade\n",
        env!("CARGO_PKG_VERSION")
    );
    for command in [&["serve"][..], &["migrate"], &["token", "list"]] {
        let refused = Program::new(&env.store.url()).run(command);
        assert_eq!(
            (refused.exit_code, refused.stderr.lines().count()),
            (1, 1),
            "{refused:?}"
        );
        assert!(refused.stderr.ends_with(&expected), "{refused:?}");
    }
    let checked = Program::new(&env.store.url()).run(&["check", "--output", "json"]);
    let report: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!(report["findings"], json!([format!("it {}", expected.trim_end())]));
}

/// The upgrade of a store is tested from the schema that its version really had.
fn released_migrations_are_unchanged(env: &TestEnv) {
    let released = include_str!("upgrade/released.txt");
    let released = released
        .lines()
        .filter(|line| line.contains(&format!(" {}/", env.kind)));
    let found: Vec<_> = history(env.kind)
        .iter()
        .map(|step| step.fingerprint(env.kind))
        .collect();
    for line in released {
        assert!(
            found.iter().any(|found| found == line),
            "{line} was released, so it must not change; now: {found:#?}"
        );
    }
}
