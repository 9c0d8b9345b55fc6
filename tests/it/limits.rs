//! Limits on the resources that clients can use.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    support::{
        ADMIN, TestEnv,
        client::{Auth, LEGACY, TOKENS, basic},
    },
    tests,
};

tests![
    bodies_have_a_size_limit,
    headers_have_a_size_limit,
    headers_have_a_size_limit_on_every_route,
    slow_requests_time_out,
    slow_clients_do_not_delay_others,
    limits_are_configurable,
    a_streamed_list_stops_when_its_reader_is_revoked,
    bodies_are_not_read_before_authentication,
];

fn body(bytes: usize) -> String {
    let rest = bytes - r#"{"name":"n","x":""}"#.len();
    format!(r#"{{"name":"n","x":"{}"}}"#, "x".repeat(rest))
}

fn bodies_have_a_size_limit(env: &TestEnv) {
    let app = env.app();
    let json_type = [("content-type", "application/json")];
    app.send("POST", LEGACY, Auth::Admin, &json_type, &body(65_536))
        .expect(200);
    let refused = app
        .send("POST", LEGACY, Auth::Admin, &json_type, &body(65_537))
        .expect(413);
    assert_eq!(
        refused.text,
        r#"{"message":"the body has more than 65536 bytes","status-code":413}"#
    );
    app.send("POST", TOKENS, Auth::Admin, &json_type, &body(65_537))
        .expect(413);
    // A body without a `Content-Length`.
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    let head = format!(
        "POST {LEGACY} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n",
        basic(ADMIN.0, ADMIN.1)
    );
    let response = app.raw(format!("{head}{chunk}{chunk}{chunk}0\r\n\r\n").as_bytes());
    assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
}

fn headers_have_a_size_limit(env: &TestEnv) {
    let app = env.app();
    app.send("GET", LEGACY, Auth::Admin, &[("x-long", &"x".repeat(15_000))], "")
        .expect(200);
    let response = app
        .send("GET", LEGACY, Auth::Admin, &[("x-long", &"x".repeat(16_384))], "")
        .expect(431);
    assert_eq!(response.json()["status-code"], 431);
    assert!(response.header("deprecation").is_some());
    assert_eq!(
        response.message(),
        "the request line and headers have more than 16384 bytes"
    );
    app.get(&format!("{TOKENS}?name={}", "x".repeat(16_384)), Auth::Admin)
        .expect(431);
    // More bytes of a request head than the server ever reads.
    let response = app.raw(format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(200_000)).as_bytes());
    assert!(response.is_empty() || response.starts_with("HTTP/1.1 4"), "{response}");
    app.get(LEGACY, Auth::Admin).expect(200);
}

fn headers_have_a_size_limit_on_every_route(env: &TestEnv) {
    let app = env.app_with(&["--base-path", "/bamboo"]);
    let one_long = |length| vec![("x-long".to_owned(), "x".repeat(length))];
    let many_short: Vec<_> = (0..80).map(|n| (format!("x-{n}"), "x".repeat(200))).collect();
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/",
        "/console/sign-in",
        "/docs",
        "/docs/swagger-ui.css",
        "/openapi.json",
        "/public/graphql",
        "/verify",
        "/verify/x",
        "/audit-events",
        "/legacy-usage",
        "/nothing",
        TOKENS,
        LEGACY,
    ] {
        for headers in [&one_long(16_384), &one_long(40_000), &one_long(120_000), &many_short] {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            for method in ["GET", "PATCH"] {
                let refused = app.send(method, path, Auth::Anonymous, &headers, "").expect(431);
                let expected = "the request line and headers have more than 16384 bytes";
                assert!(
                    path.starts_with("/verify") || refused.text.contains(expected),
                    "{path}: {refused:?}"
                );
            }
        }
    }
}

fn slow_requests_time_out(env: &TestEnv) {
    let app = env.app_with(&["--request-timeout-seconds", "1"]);
    let began = Instant::now();
    let response = app.raw(b"GET /rest/agent/1.0/tokens HTTP/1.1\r\nHost: x\r\n");
    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
    let half_a_body = format!(
        "POST {LEGACY} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        basic(ADMIN.0, ADMIN.1)
    );
    let response = app.raw(half_a_body.as_bytes());
    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
    assert!(
        response.contains(r#"{"message":"the request did not arrive in time","status-code":408}"#),
        "{response}"
    );
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(app.get(LEGACY, Auth::Admin).text, "[]");
}

fn slow_clients_do_not_delay_others(env: &TestEnv) {
    let app = env.app();
    for n in 0..1500 {
        env.store.execute(&format!(
            "INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, created_at, created_by_type, created_by_id)
             VALUES ('{n:08x}-0000-4000-8000-000000000000', '{}', '', '', 1, 'system', 'cli')",
            "x".repeat(255)
        ));
    }
    let authorization = basic(ADMIN.0, ADMIN.1);
    let slow: Vec<_> = (0..200)
        .map(|n| {
            let mut stream = app.connect();
            // Some never end their headers, some never send their body, some never read a long list.
            let head = match n % 3 {
                0 => "GET / HTTP/1.1\r\nHost: x\r\n".to_owned(),
                1 => format!(
                    "POST {LEGACY} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: 9\r\n\r\n"
                ),
                _ => format!("GET {LEGACY} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n"),
            };
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    for _ in 0..50 {
        app.get(TOKENS, Auth::Admin).expect(200);
        app.post(TOKENS, Auth::Admin, &json!({ "name": "n" })).expect(200);
    }
    drop(slow);
}

fn limits_are_configurable(env: &TestEnv) {
    let app = env.app_with(&["--max-body-bytes", "300", "--max-header-bytes", "1000"]);
    app.send(
        "POST",
        LEGACY,
        Auth::Admin,
        &[("content-type", "application/json")],
        &body(301),
    )
    .expect(413);
    app.send("GET", LEGACY, Auth::Admin, &[("x-long", &"x".repeat(1000))], "")
        .expect(431);
    app.send(
        "POST",
        LEGACY,
        Auth::Admin,
        &[("content-type", "application/json")],
        &body(300),
    )
    .expect(200);
}

fn bodies_are_not_read_before_authentication(env: &TestEnv) {
    let app = env.app();
    let mut stream = app.connect();
    let head =
        format!("POST {LEGACY} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 401");
}

/// A long list is read page by page, and the caller is authorized again for each page.
fn a_streamed_list_stops_when_its_reader_is_revoked(env: &TestEnv) {
    let app = env.app();
    let name = "x".repeat(255);
    env.store.execute(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
         INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, created_at, created_by_type, created_by_id)
         SELECT printf('%08x-0000-4000-8000-000000000000', i), '{name}', '', '', 1, 'system', 'cli' FROM n"
    ));
    let mut stream = app.connect();
    let request = format!(
        "GET {LEGACY} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n",
        basic(ADMIN.0, ADMIN.1)
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    env.store.execute("DELETE FROM admins");
    let mut rest = Vec::new();
    // The server aborts the response.
    let _ = stream.read_to_end(&mut rest);
    assert!(
        !rest.ends_with(b"]\r\n0\r\n\r\n"),
        "the list went on to its end, {} bytes",
        rest.len()
    );
}
