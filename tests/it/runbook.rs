//! The runbook for leaving the legacy API, executed from the first line to the last.

use std::{net::TcpListener, path::Path, process::Command};

use serde_json::json;

use crate::{
    readme::{examples, mask_random_values},
    support::{
        ADMIN, TestEnv,
        bamboo::{Behavior, FakeBamboo},
    },
    tests,
};

tests![the_runbook_works_from_start_to_end];

/// An administrator of the legacy server.
const DEPLOY: (&str, &str) = ("deploy", "of a script");

fn the_runbook_works_from_start_to_end(env: &TestEnv) {
    let runbook = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/leaving-the-legacy.md")).unwrap();
    let examples = examples(&runbook);
    assert!(examples.len() >= 11, "{}", examples.len());
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
    for (file, password) in [
        ("bamboo.password", ADMIN.1),
        ("tokenbridge.password", ADMIN.1),
        ("deploy.password", DEPLOY.1),
    ] {
        std::fs::write(place.join(file), password).unwrap();
    }
    // The port stays free until the server binds it.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let commands: Vec<&str> = examples.iter().map(|(commands, _)| *commands).collect();
    let script = format!(
        "trap 'kill $(jobs -p) 2>/dev/null' EXIT\n{}",
        commands.join("\necho; echo ----\n")
    )
    .replace("127.0.0.1:8086", &address)
    .replace("http://bamboo:8085", &format!("http://{}", bamboo.address));
    let programs = Path::new(env!("CARGO_BIN_EXE_tokenbridge")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    // Where a server does not start, the script waits for it.
    let output = Command::new("timeout")
        .args(["60", "bash", "-c", &script])
        .current_dir(place)
        .env("PATH", path)
        .env("TOKENBRIDGE_LISTEN", &address)
        .env("TOKENBRIDGE_DATABASE_URL", env.store.fresh_url())
        .output()
        .unwrap();
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
