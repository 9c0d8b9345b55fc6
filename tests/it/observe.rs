//! What is seen of every request: ids, log lines, health.

use serde_json::{Value, json};

use crate::{
    support::{
        ADMIN, Lab,
        client::{As, LEGACY, TOKENS, string},
        program::{Program, Serving},
    },
    tests,
};

tests![
    every_answer_has_a_request_id,
    sane_request_ids_are_taken_over,
    a_line_a_request_without_secrets,
    json_lines_are_json,
    health_is_open_to_all,
];

fn every_answer_has_a_request_id(lab: &Lab) {
    let app = lab.app();
    let ids: Vec<String> = [
        app.get(LEGACY, As::Admin),
        app.get(LEGACY, As::Nobody),
        app.get("/nothing", As::Nobody),
    ]
    .iter()
    .map(|answer| answer.header("x-request-id").unwrap().to_owned())
    .collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
}

fn sane_request_ids_are_taken_over(lab: &Lab) {
    let app = lab.app();
    let answered = |id: &str| {
        app.send("GET", "/healthz", As::Nobody, &[("x-request-id", id)], "")
            .header("x-request-id")
            .unwrap()
            .to_owned()
    };
    assert_eq!(answered("build-42.retry_1"), "build-42.retry_1");
    let long = "x".repeat(65);
    for odd in ["", "a b", "a\"b", "<script>", &long] {
        assert_ne!(answered(odd), odd);
    }
}

fn serve(lab: &Lab, flags: &[&str]) -> Serving {
    Program::new(&lab.store.url()).serve(flags)
}

fn a_line_a_request_without_secrets(lab: &Lab) {
    let serving = serve(lab, &[]);
    let app = &serving.client;
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let uuid = app.new_legacy_token(&json!({ "name": "n" }));
    app.get(&format!("{TOKENS}/{id}?name=secret-query"), As::Key(&value))
        .expect(200);
    app.get(&format!("{TOKENS}/self"), As::Bearer(&value.replace("tbk_", "tbk-")))
        .expect(401);
    app.get(&format!("{LEGACY}/{uuid}"), As::Admin).expect(200);
    app.get(&format!("{LEGACY}/{uuid}"), As::Basic("secret-name", "secret-password"))
        .expect(401);
    app.get(&format!("/rest/agents/1.0/7/state?uuid={uuid}"), As::Nobody)
        .expect(404);
    app.send("GET", "/healthz", As::Nobody, &[("x-request-id", "mine")], "")
        .expect(200);
    serving.signal("TERM");
    let (code, log) = serving.wait();
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("tokenbridge::access"))
        .collect();
    assert_eq!(lines.len(), 8, "{log}");
    let line = lines[2];
    for part in [
        "INFO",
        "method=GET",
        "route=/api-tokens/{id}",
        "status=200",
        "client=127.0.0.1",
        "caller=token",
        "microseconds=",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(
        lines[4].contains("route=/rest/agent-config/1.0/tokens/{uuid}") && lines[4].contains("caller=\"admin admin\"")
    );
    assert!(lines[6].contains("route=- "), "{}", lines[6]);
    assert!(lines[7].contains("[mine]"));
    for secret in [&value[4..], &id, &uuid, ADMIN.1, "secret"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

fn json_lines_are_json(lab: &Lab) {
    let serving = serve(lab, &["--log-format", "json"]);
    serving
        .client
        .send("GET", "/readyz", As::Nobody, &[("x-request-id", "mine")], "")
        .expect(200);
    serving.signal("INT");
    let (code, log) = serving.wait();
    assert_eq!(code, Some(0));
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let access = lines
        .iter()
        .find(|line| line["target"] == "tokenbridge::access")
        .expect("an access line");
    assert_eq!(
        (&access["request_id"], &access["route"], &access["status"]),
        (&json!("mine"), &json!("/readyz"), &json!(200))
    );
    assert!(string(&access["time"]).ends_with('Z'));
}

fn health_is_open_to_all(lab: &Lab) {
    let app = lab.app();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(app.get(path, As::Nobody).expect(200).text, r#"{"status":"ok"}"#);
        app.send("HEAD", path, As::Nobody, &[], "").expect(200);
    }
}
