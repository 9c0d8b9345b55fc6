//! Information about clients from proxies.

use serde_json::json;

use crate::{
    support::{
        ADMIN, TestApp, TestEnv,
        client::{Auth, LEGACY, TOKENS, basic},
    },
    tests,
};

tests![
    mapped_addresses_of_proxies_are_ipv4_addresses,
    a_client_without_a_forwarded_address_is_in_no_network,
    unknown_clients_are_logged_and_throttled_as_one,
    haproxys_default_health_check_passes,
];

fn status_of_self(app: &TestApp, value: &str, headers: &[(&str, &str)]) -> u16 {
    app.send("GET", &format!("{TOKENS}/self"), Auth::Key(value), headers, "")
        .status
}

fn mapped_addresses_of_proxies_are_ipv4_addresses(env: &TestEnv) {
    for proxy in ["::ffff:127.0.0.1", "::ffff:127.0.0.0/104", "::FFFF:7f00:1/128"] {
        let app = env.app_with(&["--trusted-proxy", proxy]);
        let (_, value) = app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["::ffff:192.0.2.0/120"] }));
        assert_eq!(
            status_of_self(&app, &value, &[("x-forwarded-for", "192.0.2.1")]),
            200,
            "{proxy}"
        );
        assert_eq!(
            status_of_self(&app, &value, &[("x-forwarded-for", "::ffff:192.0.2.1")]),
            200,
            "{proxy}"
        );
        assert_eq!(status_of_self(&app, &value, &[]), 401, "{proxy}");
    }
}

fn a_client_without_a_forwarded_address_is_in_no_network(env: &TestEnv) {
    for (name, entries) in [
        (
            "x-forwarded-for",
            &[
                "unknown",
                "_hidden",
                "",
                ",",
                "192.0.2.1, unknown",
                "127.0.0.1,, 127.0.0.1",
                "[::1",
                "127.0.0.1:x",
            ][..],
        ),
        (
            "forwarded",
            &[
                "for=unknown",
                "for=_hidden",
                "for=\"_hidden:1\"",
                "for=192.0.2.1, by=127.0.0.1",
                "",
                "for=",
            ],
        ),
    ] {
        let app = env.app_with(&["--trusted-proxy", "127.0.0.1", "--trusted-proxy-header", name]);
        let (_, limited) = app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["0.0.0.0/0", "::/0"] }));
        let (_, free) = app.new_token(&json!({ "name": "n" }));
        for entry in entries {
            assert_eq!(status_of_self(&app, &limited, &[(name, entry)]), 401, "{name}: {entry}");
            assert_eq!(status_of_self(&app, &free, &[(name, entry)]), 200, "{name}: {entry}");
            let gate = app.send(
                "GET",
                "/verify?require=UserRead",
                Auth::Key(&limited),
                &[(name, entry)],
                "",
            );
            gate.expect(401);
        }
        let several = [
            (name, "unknown"),
            (
                name,
                if name == "forwarded" {
                    "for=127.0.0.1"
                } else {
                    "127.0.0.1"
                },
            ),
        ];
        assert_eq!(status_of_self(&app, &limited, &several), 401, "{name}");
        // Without the header, the proxy counts as the client.
        assert_eq!(status_of_self(&app, &limited, &[]), 200, "{name}");
    }
}

fn unknown_clients_are_logged_and_throttled_as_one(env: &TestEnv) {
    let app = env.app_with(&["--trusted-proxy", "127.0.0.1"]);
    let from = |entry: &str, password: &str| {
        let authorization = basic(ADMIN.0, password);
        let headers = [("x-forwarded-for", entry), ("authorization", authorization.as_str())];
        app.send("GET", LEGACY, Auth::Anonymous, &headers, "").status
    };
    for n in 0..10 {
        assert_eq!(from(&format!("_client{n}"), &format!("guess {n}")), 401);
    }
    assert_eq!(from("unknown", "guess"), 429);
    assert_eq!(from("192.0.2.1", ADMIN.1), 200);
    app.get(LEGACY, Auth::Admin).expect(200);
    app.stop();
    let app = env.app();
    let report = app.get("/legacy-usage", Auth::Admin).expect(200).json();
    let clients = report["callers"].as_array().unwrap().iter();
    let clients: Vec<_> = clients.map(|caller| caller["client"].as_str().unwrap()).collect();
    assert!(
        clients.contains(&"unknown") && clients.contains(&"192.0.2.1"),
        "{clients:?}"
    );
    assert!(!clients.contains(&"other"), "{clients:?}");
    let refused = app
        .get("/audit-events?action=login.refused", Auth::Admin)
        .expect(200)
        .json();
    assert_eq!(refused["results"][0].get("client"), None, "{refused}");
}

fn haproxys_default_health_check_passes(env: &TestEnv) {
    let app = env.app();
    // `option httpchk` without a request.
    let response = app.raw(b"OPTIONS / HTTP/1.0\r\n\r\n");
    assert!(response.starts_with("HTTP/1.0 204 "), "{response}");
    let allow = app.send("OPTIONS", "/", Auth::Anonymous, &[], "").expect(204);
    assert_eq!(allow.header("allow"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(app.send("HEAD", "/", Auth::Anonymous, &[], "").status, 303);
    let refused = app.send("PUT", "/", Auth::Anonymous, &[], "").expect(405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD, OPTIONS"));
}
