//! The metadata of the OAuth endpoints (RFC 8414).

use serde_json::json;

use crate::{
    oauth::{INTROSPECT, REVOKE, send_form},
    support::{
        TestApp, TestEnv,
        client::{Auth, string},
    },
    tests,
};

tests![metadata_names_the_endpoints, the_issuer_is_the_requested_origin];

const METADATA: &str = "/.well-known/oauth-authorization-server";

fn metadata_names_the_endpoints(env: &TestEnv) {
    let app = env.app_with(&["--base-path", "/bamboo"]);
    let metadata = app.get(METADATA, Auth::Anonymous).expect(200).json();
    let issuer = format!("http://{}/bamboo", app.address);
    assert_eq!(metadata["issuer"], issuer);
    for (endpoint, path) in [("introspection_endpoint", INTROSPECT), ("revocation_endpoint", REVOKE)] {
        assert_eq!(metadata[endpoint], format!("{issuer}{path}"));
        let methods = metadata[format!("{endpoint}_auth_methods_supported")]
            .as_array()
            .unwrap();
        assert!(methods.contains(&json!("client_secret_basic")) && methods.contains(&json!("client_secret_post")));
        send_form(&app, path, Auth::Admin, "token=x").expect(200);
    }
    assert_eq!(metadata["response_types_supported"], json!([]));
}

fn the_issuer_is_the_requested_origin(env: &TestEnv) {
    let forwarded = [
        ("host", "10.0.0.7:8086"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "tokens.example"),
    ];
    let issuer = |app: &TestApp, headers: &[(&str, &str)]| {
        let response = app.send("GET", METADATA, Auth::Anonymous, headers, "");
        (response.status == 200).then(|| string(&response.json()["issuer"]))
    };
    let direct = env.app();
    assert_eq!(issuer(&direct, &forwarded).as_deref(), Some("http://10.0.0.7:8086"));
    let behind_proxy = env.app_with(&["--trusted-proxy", "127.0.0.1"]);
    assert_eq!(
        issuer(&behind_proxy, &forwarded).as_deref(),
        Some("https://tokens.example")
    );
    let absolute =
        format!("GET http://asked.example:8086{METADATA} HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n");
    let response = direct.raw(absolute.as_bytes());
    assert!(
        response.contains("\"issuer\":\"http://asked.example:8086\""),
        "{response}"
    );
    for host in [
        "evil.example/x",
        "user@evil.example",
        "a, b",
        "a\"b",
        "<script>",
        "a:b",
        "..",
        "[]",
        "[]:80",
        "",
        " ",
        "a b",
    ] {
        let request = format!("GET {METADATA} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let response = direct.raw(request.as_bytes());
        assert!(response.starts_with("HTTP/1.1 400 "), "{host}: {response}");
    }
}
