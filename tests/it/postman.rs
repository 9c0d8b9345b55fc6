//! The Postman collection, run by newman against a real server.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    support::{
        ADMIN, TestEnv,
        client::{Auth, LEGACY},
        program::Program,
    },
    tests,
};

tests![SQLITE_TESTS: every_request_has_a_description_tests_and_an_example];
tests![the_collection_passes, the_collection_detects_failures];

/// Returns `true` if newman is installed.
pub fn is_installed() -> bool {
    Command::new("newman")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("postman").join(name)
}

/// Runs newman. Returns the number of requests, of failed ones, of assertions, and of failed ones; and the output.
fn newman(env: &TestEnv, base_url: &str) -> ([u64; 4], String) {
    let report = env.store.directory.path().join("newman.json");
    let output = Command::new("newman")
        .arg("run")
        .arg(file("tokenbridge.postman_collection.json"))
        .arg("--environment")
        .arg(file("tokenbridge.postman_environment.json"))
        .args([
            "--env-var",
            &format!("baseUrl={base_url}"),
            "--env-var",
            &format!("adminPassword={}", ADMIN.1),
        ])
        .args([
            "--reporters",
            "cli,json",
            "--reporter-cli-no-banner",
            "--reporter-json-export",
        ])
        .arg(&report)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let stats = &report["run"]["stats"];
    let count = |what: &str, which: &str| stats[what][which].as_u64().unwrap();
    let counts = ["requests", "assertions"]
        .map(|what| [count(what, "total"), count(what, "failed")])
        .concat();
    let scripts = report["run"]["failures"].as_array().unwrap().len() as u64;
    let counts = [counts[0], counts[1], counts[2], counts[3].max(scripts)];
    (counts, String::from_utf8_lossy(&output.stdout).into_owned())
}

fn the_collection_passes(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    for base_path in ["", "/bamboo"] {
        let server = program.serve(&["--base-path", base_path]);
        let before = server.client.get(LEGACY, Auth::Admin).expect(200).text;
        let ([requests, failed_requests, assertions, failed], printed) =
            newman(env, &format!("http://{}{base_path}", server.client.address));
        println!(
            "newman on {} under {base_path:?}: {requests} requests, {assertions} assertions, {failed} failed",
            env.kind
        );
        assert_eq!((failed_requests, failed), (0, 0), "{printed}");
        assert!(
            requests > 50 && assertions > requests,
            "{requests} requests, {assertions} assertions"
        );
        assert_eq!(
            server.client.get(LEGACY, Auth::Admin).expect(200).text,
            before,
            "what a run makes it deletes"
        );
    }
}

fn the_collection_detects_failures(env: &TestEnv) {
    let server = Program::new(&env.store.url()).serve(&["--legacy", "off"]);
    let ([_, _, _, failed], _) = newman(env, &format!("http://{}", server.client.address));
    assert!(failed > 20, "{failed} failed");
}

fn every_request_has_a_description_tests_and_an_example(_: &TestEnv) {
    let text = std::fs::read_to_string(file("tokenbridge.postman_collection.json")).unwrap();
    let collection: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        collection["info"]["schema"],
        "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
    );
    let mut requests = 0;
    let mut waiting: Vec<&Value> = collection["item"].as_array().unwrap().iter().collect();
    while let Some(item) = waiting.pop() {
        let name = &item["name"];
        if let Some(items) = item["item"].as_array() {
            waiting.extend(items);
            continue;
        }
        requests += 1;
        assert!(
            item["request"]["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{name} is not described"
        );
        assert!(
            item["response"].as_array().is_some_and(|examples| !examples.is_empty()),
            "{name} has no example"
        );
        let tests = item["event"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|event| event["listen"] == "test");
        assert!(
            tests
                .filter_map(|event| event["script"]["exec"].as_array())
                .flatten()
                .count()
                > 0,
            "{name} has no test"
        );
    }
    assert!(requests > 50, "{requests}");
    // 43 times the letter A and its checksum stand for an unknown value.
    let values = text.split("tbk_").skip(1).filter(|rest| {
        let letters = rest
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
        letters.count() >= 49 && !rest.starts_with(&"A".repeat(43))
    });
    assert_eq!(values.count(), 0, "an example shows a token's value");
}
