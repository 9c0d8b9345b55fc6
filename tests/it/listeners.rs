//! Several listeners, and unix sockets.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use crate::{
    support::{
        ADMIN, TestEnv,
        certificate::Certificate,
        client::{Auth, LEGACY, basic},
        program::{Program, ServerProcess},
    },
    tests,
};

tests![
    every_address_is_served,
    clients_of_a_unix_socket_have_no_address,
    a_trusted_unix_socket_reports_its_clients,
    a_unix_socket_uses_no_tls,
    the_socket_of_a_killed_server_is_replaced,
    unusable_addresses_are_explained,
    what_clients_lose_is_logged,
];

fn socket_path(env: &TestEnv) -> PathBuf {
    env.store.directory.path().join("tokenbridge.sock")
}

fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// Sends a request over a unix socket. Returns the status and the whole response.
fn request(path: &Path, method: &str, target: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let lines = [
        &["Host: tokens.example".to_owned(), "Connection: close".to_owned()],
        &lines[..],
    ]
    .concat();
    let head = format!("{method} {target} HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"));
    stream.write_all(head.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no response: {response:?}")), response)
}

/// Returns the addresses that a server logs.
fn logged_addresses(server: &ServerProcess) -> Vec<String> {
    let log = server.log();
    let lines = log.lines().filter_map(|line| line.split_once("listening on "));
    lines.map(|(_, address)| address.to_owned()).collect()
}

fn every_address_is_served(env: &TestEnv) {
    let path = socket_path(env);
    let program = Program::new(&env.store.url());
    let listen = format!(" 127.0.0.1:0 , {}", unix(&path));
    let server = program.serve(&["--listen", &listen, "--base-path", "/bamboo"]);
    server.client.get("/healthz", Auth::Anonymous).expect(200);
    assert_eq!(request(&path, "GET", "/bamboo/healthz", &[]).0, 200);
    let logged = crate::support::wait_until("all addresses are logged", || {
        Some(logged_addresses(&server)).filter(|logged| logged.len() == 3)
    });
    let second = logged[1]
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix("/bamboo")
        .unwrap();
    assert_eq!(logged[2], unix(&path));
    let healthy = |listen: &str| program.run(&["healthcheck", "--base-path", "/bamboo", "--listen", listen]);
    for listen in [second, &unix(&path), &format!("{second},{}", unix(&path))] {
        assert_eq!(healthy(listen).exit_code, 0, "{listen}");
    }
    server.signal("TERM");
    assert_eq!(server.wait().0, Some(0));
    assert!(!path.exists(), "the socket is removed");
    let gone = healthy(&unix(&path));
    assert_eq!(
        (gone.exit_code, gone.stderr),
        (
            1,
            format!(
                "tokenbridge: the server at {} does not accept connections\n",
                unix(&path)
            )
        )
    );
}

fn clients_of_a_unix_socket_have_no_address(env: &TestEnv) {
    let path = socket_path(env);
    // All addresses are trusted, which a unix socket has none of.
    let flags = ["--listen", &unix(&path), "--trusted-proxy", "0.0.0.0/0,::/0"];
    let app = env.app_with(&flags);
    let (_, limited) = app.new_token(&json!({ "name": "limited", "allowedCIDRBlocks": ["0.0.0.0/0", "::/0"] }));
    let (_, free) = app.new_token(&json!({ "name": "free" }));
    let get = |target: &str, key: &str| {
        let headers = [("X-API-Key", key), ("X-Forwarded-For", "192.0.2.7")];
        request(&path, "GET", target, &headers).0
    };
    assert_eq!(get("/api-tokens/self", &free), 200);
    for target in ["/api-tokens/self", "/verify?require=UserRead"] {
        assert_eq!(get(target, &limited), 401, "{target}");
    }
    // Failed logins are throttled for all clients together, and not for clients with an address.
    let login = |password: &str| request(&path, "GET", LEGACY, &[("Authorization", &basic(ADMIN.0, password))]).0;
    for n in 0..10 {
        assert_eq!(login(&format!("guess {n}")), 401);
    }
    assert_eq!(login("guess"), 429);
    app.get(LEGACY, Auth::Admin).expect(200);
    app.stop();
    let app = env.app();
    let events = app
        .get("/audit-events?action=login.refused", Auth::Admin)
        .expect(200)
        .json();
    let of_guesses = events["results"].as_array().unwrap().iter();
    let clients: Vec<_> = of_guesses.map(|event| event.get("client").cloned()).collect();
    assert!(
        !clients.is_empty()
            && clients
                .iter()
                .all(|client| client.as_ref().is_none_or(serde_json::Value::is_null)),
        "{events}"
    );
    let report = app.get("/legacy-usage", Auth::Admin).expect(200).json();
    let callers = report["callers"].as_array().unwrap();
    assert!(callers.iter().any(|caller| caller["client"] == "unknown"), "{report}");
}

fn a_trusted_unix_socket_reports_its_clients(env: &TestEnv) {
    let path = socket_path(env);
    let app = env.app_with(&["--listen", &unix(&path), "--trusted-proxy", "unix"]);
    let (_, limited) = app.new_token(&json!({ "name": "limited", "allowedCIDRBlocks": ["192.0.2.0/24"] }));
    let get = |headers: &[(&str, &str)]| {
        let headers = [&[("X-API-Key", limited.as_str())], headers].concat();
        request(&path, "GET", "/api-tokens/self", &headers).0
    };
    assert_eq!(get(&[("X-Forwarded-For", "192.0.2.7")]), 200);
    assert_eq!(get(&[("X-Forwarded-For", "198.51.100.1, 192.0.2.7")]), 200);
    for entry in ["192.0.2.7, 198.51.100.1", "192.0.2.7, unix:", ""] {
        assert_eq!(get(&[("X-Forwarded-For", entry)]), 401, "{entry:?}");
    }
    assert_eq!(get(&[]), 401);
    // Over TCP, the header is a client's own.
    let forged = [("x-forwarded-for", "192.0.2.7")];
    app.send("GET", "/api-tokens/self", Auth::Key(&limited), &forged, "")
        .expect(401);
    let headers = [
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "tokens.example:8443"),
    ];
    let (_, metadata) = request(&path, "GET", "/.well-known/oauth-authorization-server", &headers);
    assert!(
        metadata.contains(r#""issuer":"https://tokens.example:8443""#),
        "{metadata}"
    );
}

fn a_unix_socket_uses_no_tls(env: &TestEnv) {
    let path = socket_path(env);
    let certificate = Certificate::write(env.store.directory.path());
    let (chain, key) = (certificate.chain.to_str().unwrap(), certificate.key.to_str().unwrap());
    let flags = ["--tls-cert", chain, "--tls-key", key];
    let program = Program::new(&env.store.url());
    let server = program.serve(&[&["--listen", &unix(&path)], &flags[..]].concat());
    let (status, metadata) = request(&path, "GET", "/.well-known/oauth-authorization-server", &[]);
    assert!(
        status == 200 && metadata.contains(r#""issuer":"http://tokens.example""#),
        "{metadata}"
    );
    let listen = format!("{},{}", server.client.address, unix(&path));
    let healthy = program.run(&[&["healthcheck", "--listen", &listen], &flags[..]].concat());
    assert_eq!(healthy.exit_code, 0, "{healthy:?}");
}

fn the_socket_of_a_killed_server_is_replaced(env: &TestEnv) {
    let path = socket_path(env);
    let program = Program::new(&env.store.url());
    let server = program.serve(&["--listen", &unix(&path)]);
    let refused = program.run(&["serve", "--listen", &unix(&path)]);
    assert_eq!(
        (refused.exit_code, refused.stderr.lines().last().unwrap()),
        (
            1,
            format!(
                "tokenbridge: cannot listen on {}: a server listens on it; stop that server, or choose another path",
                unix(&path)
            )
            .as_str()
        )
    );
    assert_eq!(request(&path, "GET", "/healthz", &[]).0, 200);
    server.signal("KILL");
    server.wait();
    assert!(path.exists());
    let _server = program.serve(&["--listen", &unix(&path)]);
    assert_eq!(request(&path, "GET", "/healthz", &[]).0, 200);
}

fn unusable_addresses_are_explained(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let directory = env.store.directory.path();
    std::fs::write(directory.join("file"), "data").unwrap();
    let long = format!("unix:/{}", "x".repeat(107));
    for (listen, exit_code, expected) in [
        (long.as_str(), 2, "at most 107 bytes"),
        ("unix:tokenbridge.sock", 2, "absolute path"),
        ("/run/tokenbridge.sock", 2, "such as unix:/run"),
        ("127.0.0.1:0,", 2, "such as 127.0.0.1:8086"),
        (
            &unix(&directory.join("missing/tokenbridge.sock")),
            1,
            "missing does not exist; create it",
        ),
        (&unix(&directory.join("file")), 1, "is not a socket; remove it"),
        (&unix(&directory.join("file/tokenbridge.sock")), 1, "cannot listen on"),
    ] {
        let output = program.run(&["serve", "--listen", listen]);
        let last = output.stderr.lines().find(|line| line.contains(expected));
        assert!(output.exit_code == exit_code && last.is_some(), "{listen}: {output:?}");
    }
    assert_eq!(std::fs::read_to_string(directory.join("file")).unwrap(), "data");
}

fn what_clients_lose_is_logged(env: &TestEnv) {
    const PLAIN: &str = "accepts plain HTTP from other machines";
    const UNKNOWN: &str = "have no address";
    let path = unix(&socket_path(env));
    let program = Program::new(&env.store.url());
    for (flags, expected) in [
        (&[][..], &[][..]),
        (&["--listen", "0.0.0.0:0"], &[PLAIN]),
        (&["--listen", "[::ffff:127.0.0.1]:0"], &[]),
        (&["--listen", &path], &[UNKNOWN]),
        (&["--listen", &path, "--trusted-proxy", "unix"], &[]),
        (&["--listen", "[::]:0", "--listen", &path], &[PLAIN, UNKNOWN]),
    ] {
        let server = program.serve(flags);
        server.signal("TERM");
        let (_, log) = server.wait();
        for warning in [PLAIN, UNKNOWN] {
            assert_eq!(log.contains(warning), expected.contains(&warning), "{flags:?}: {log}");
        }
    }
}
