//! Request IDs, log lines, and health checks.

use serde_json::{Value, json};

use crate::{
    support::{
        ADMIN, TestEnv,
        client::{Auth, LEGACY, TOKENS, string},
        program::{Program, ServerProcess},
    },
    tests,
};

tests![
    every_response_has_a_request_id,
    valid_request_ids_are_adopted,
    each_request_logs_one_line_without_secrets,
    the_access_log_shows_the_chosen_requests,
    json_lines_are_json,
    health_needs_no_authentication,
];

fn every_response_has_a_request_id(env: &TestEnv) {
    let app = env.app();
    let ids: Vec<String> = [
        app.get(LEGACY, Auth::Admin),
        app.get(LEGACY, Auth::Anonymous),
        app.get("/nothing", Auth::Anonymous),
    ]
    .iter()
    .map(|response| response.header("x-request-id").unwrap().to_owned())
    .collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
}

fn valid_request_ids_are_adopted(env: &TestEnv) {
    let app = env.app();
    let answered = |id: &str| {
        app.send("GET", "/healthz", Auth::Anonymous, &[("x-request-id", id)], "")
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

fn serve(env: &TestEnv, flags: &[&str]) -> ServerProcess {
    Program::new(&env.store.url()).serve(flags)
}

fn each_request_logs_one_line_without_secrets(env: &TestEnv) {
    let server = serve(env, &[]);
    let app = &server.client;
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let uuid = app.new_legacy_token(&json!({ "name": "n" }));
    app.get(&format!("{TOKENS}/{id}?name=secret-query"), Auth::Key(&value))
        .expect(200);
    app.get(&format!("{TOKENS}/self"), Auth::Bearer(&value.replace("tbk_", "tbk-")))
        .expect(401);
    app.get(&format!("{LEGACY}/{uuid}"), Auth::Admin).expect(200);
    app.get(
        &format!("{LEGACY}/{uuid}"),
        Auth::Basic("secret-name", "secret-password"),
    )
    .expect(401);
    app.get(&format!("/rest/agents/1.0/7/state?uuid={uuid}"), Auth::Anonymous)
        .expect(404);
    app.send("GET", "/healthz", Auth::Anonymous, &[("x-request-id", "mine")], "")
        .expect(200);
    server.signal("TERM");
    let (code, log) = server.wait();
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

fn the_access_log_shows_the_chosen_requests(env: &TestEnv) {
    for (choice, expected) in [
        ("all", vec!["200", "401", "404"]),
        ("errors", vec!["401", "404"]),
        ("off", vec![]),
    ] {
        let server = serve(env, &["--access-log", choice]);
        let app = &server.client;
        app.get("/healthz", Auth::Anonymous).expect(200);
        app.get(TOKENS, Auth::Anonymous).expect(401);
        app.get("/nothing", Auth::Anonymous).expect(404);
        server.signal("TERM");
        let (_, log) = server.wait();
        let statuses: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("tokenbridge::access"))
            .filter_map(|line| line.split_once(" status=")?.1.split(' ').next())
            .collect();
        assert_eq!(statuses, expected, "{choice}: {log}");
    }
}

fn json_lines_are_json(env: &TestEnv) {
    let server = serve(env, &["--log-format", "json"]);
    server
        .client
        .send("GET", "/readyz", Auth::Anonymous, &[("x-request-id", "mine")], "")
        .expect(200);
    server.signal("INT");
    let (code, log) = server.wait();
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

fn health_needs_no_authentication(env: &TestEnv) {
    let app = env.app();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(app.get(path, Auth::Anonymous).expect(200).text, r#"{"status":"ok"}"#);
        app.send("HEAD", path, Auth::Anonymous, &[], "").expect(200);
    }
}
