//! Pages whose commands are executed from the first line to the last: the runbook for leaving the legacy API, and the
//! disaster drills.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    readme::{examples, mask_random_values},
    support::{
        ADMIN, TestEnv,
        bamboo::{Behavior, FakeBamboo},
        cluster::{as_postgres, chown_to_postgres, find_bin_directory},
    },
    tests,
};

tests![
    the_runbook_works_from_start_to_end,
    the_disaster_drill_works_from_start_to_end,
];
tests![POSTGRES_TESTS: the_drill_of_the_base_backup_works_from_start_to_end];

/// An administrator of the legacy server.
const DEPLOY: (&str, &str) = ("deploy", "of a script");

fn page(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn the_runbook_works_from_start_to_end(env: &TestEnv) {
    let runbook = page("docs/leaving-the-legacy.md");
    let bamboo = FakeBamboo::start(Behavior {
        context: "/builds",
        lists: &["/rest/agent/1.0/tokens", "/rest/agent/1.0/tokens/"],
        body: json!([
            { "uuid": "5f0d6a34-5dd1-4a1d-8a43-0a1f3f8f6b10", "name": "agent one", "read": true, "change": false },
            { "uuid": "0c6fbd3a-7d6f-4b62-9d8c-4b2d9d3d7f21", "name": "agent two", "read": true, "change": true },
            { "uuid": "9d2f1c58-6a0e-4c53-b0a7-6e1f7a9b8c32", "name": "forgotten", "read": true, "change": false },
        ])
        .to_string(),
        users: &[ADMIN, DEPLOY],
        ..Behavior::default()
    });
    let place = env.store.directory.path();
    let mut shell = Command::new("timeout");
    shell
        .current_dir(place)
        .env("TOKENBRIDGE_DATABASE_URL", env.store.fresh_url());
    for (file, password) in [
        ("bamboo.password", ADMIN.1),
        ("tokenbridge.password", ADMIN.1),
        ("deploy.password", DEPLOY.1),
    ] {
        fs::write(place.join(file), password).unwrap();
    }
    let runbook = runbook.replace("http://bamboo:8085", &format!("http://{}", bamboo.address));
    let examples = examples(&runbook);
    assert!(examples.len() >= 11, "{}", examples.len());
    run_examples(&examples, program().parent().unwrap(), shell);
}

fn the_disaster_drill_works_from_start_to_end(env: &TestEnv) {
    let page = page("docs/operations.md");
    let place = env.store.directory.path().join("drill");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("admin.password"), ADMIN.1).unwrap();
    let mut shell = Command::new("timeout");
    shell.current_dir(&place);
    let url = env.store.fresh_url();
    // On SQLite, the default: a file in the directory of the drill.
    let heading = if url.starts_with("postgres") {
        shell.env("TOKENBRIDGE_DATABASE_URL", url);
        "### PostgreSQL\n"
    } else {
        "### SQLite\n"
    };
    run_examples(&drill(&page, heading), program().parent().unwrap(), shell);
}

fn the_drill_of_the_base_backup_works_from_start_to_end(_: &TestEnv) {
    let page = page("docs/operations.md");
    // PostgreSQL refuses to run as root, and other users may not enter the directories of the program.
    let directory = TempDir::new().unwrap();
    let place = directory.path().join("drill");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("admin.password"), ADMIN.1).unwrap();
    fs::copy(program(), directory.path().join("tokenbridge")).unwrap();
    chown_to_postgres(directory.path());
    let mut shell = as_postgres(Path::new("timeout"));
    shell.current_dir(&place).env("HOME", &place);
    let examples = drill(&page, "### PostgreSQL: base backup and WAL\n");
    run_examples(&examples, directory.path(), shell);
}

/// Returns the examples below a heading of the disaster drill.
fn drill<'page>(page: &'page str, heading: &str) -> Vec<(&'page str, &'page str)> {
    let (_, drill) = page.split_once("## Disaster drill").unwrap();
    let (drill, _) = drill.split_once("\n## ").unwrap();
    let (_, drill) = drill.split_once(heading).unwrap();
    let examples = examples(drill.split("\n### ").next().unwrap());
    assert_eq!(examples.len(), 3);
    examples
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tokenbridge"))
}

/// A port stays free until a server binds it.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Runs all commands in one shell, because later ones use the results of earlier ones, and compares what they print.
/// `shell` is `timeout` in the directory of the examples, and `folder` has the program. Servers listen on free ports
/// instead of 8086 and 5433.
fn run_examples(examples: &[(&str, &str)], folder: &Path, mut shell: Command) {
    let address = free_address().to_string();
    let commands: Vec<&str> = examples.iter().map(|(commands, _)| *commands).collect();
    let script = format!(
        "trap 'kill $(jobs -p) 2>/dev/null; [ ! -e data ] || pg_ctl -D data -s -m immediate stop' EXIT\n{}",
        commands.join("\necho; echo ----\n")
    )
    .replace("5433", &free_address().port().to_string())
    .replace("127.0.0.1:8086", &address);
    let folders = [folder.to_owned()].into_iter().chain(find_bin_directory());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap();
    // Where a server does not start, the script waits for it.
    shell
        .args(["120", "bash", "-c", &script])
        .env("PATH", path)
        .env("TOKENBRIDGE_LISTEN", &address);
    let output = shell.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let printed: Vec<&str> = printed.split("----\n").collect();
    assert_eq!(printed.len(), examples.len(), "{printed:?}\n{errors}");
    for ((commands, expected), printed) in examples.iter().zip(printed) {
        let printed = printed.replace('\r', "");
        assert_eq!(
            mask_random_values(&printed),
            mask_random_values(expected),
            "{commands}\n{errors}"
        );
    }
}
