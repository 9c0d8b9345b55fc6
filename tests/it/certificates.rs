//! Certificates that are renewed while the server runs.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::{
    support::{
        ADMIN, TestEnv,
        certificate::{Certificate, handshake},
        client::{Auth, Client, basic},
        program::{Program, ServerProcess},
        wait_until,
    },
    tests,
};

tests![
    sighup_reloads_the_certificate_and_flushes,
    a_renewed_certificate_is_noticed_and_connections_stay_open,
    an_unusable_certificate_is_reported_once_and_the_previous_one_stays,
    certificates_behind_symbolic_links_are_noticed,
];

const HTTP_1: &[u8] = b"\x08http/1.1";
const EXPIRY: &str = "tokenbridge_tls_certificate_expiry_timestamp_seconds";
const RELOAD_SUCCESSFUL: &str = "tokenbridge_tls_certificate_reload_successful";

/// A server with HTTPS, and the metrics apart.
struct HttpsServer {
    server: ServerProcess,
    metrics: Client,
}

impl HttpsServer {
    fn start(env: &TestEnv, chain: &Path, key: &Path) -> Self {
        let (chain, key) = (chain.to_str().unwrap(), key.to_str().unwrap());
        let tls = ["--tls-cert", chain, "--tls-key", key];
        let others = ["--metrics-listen", "127.0.0.1:0", "--request-timeout-seconds", "600"];
        let server = Program::new(&env.store.url()).serve(&[&tls[..], &others].concat());
        let address = wait_until("the metrics are served", || {
            let log = server.log();
            let (_, rest) = log.split_once("serving metrics on http://")?;
            rest.split_once("/metrics")?.0.parse().ok()
        });
        let metrics = Client::new(address, "");
        Self { server, metrics }
    }

    /// Returns the certificate that a new connection gets, in PEM.
    fn certificate(&self) -> Vec<u8> {
        let stream = handshake(self.server.client.connect(), HTTP_1).unwrap();
        stream.ssl().peer_certificate().unwrap().to_pem().unwrap()
    }

    fn wait_for_certificate(&self, pem: &[u8]) {
        wait_until("the certificate is renewed", || {
            (self.certificate() == pem).then_some(())
        });
    }

    fn metric(&self, name: &str) -> i64 {
        let text = self.metrics.get("/metrics", Auth::Anonymous).expect(200).text;
        let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        value.trim().parse().unwrap()
    }

    fn wait_for_log(&self, line: &str) {
        wait_until(line, || self.server.log().contains(line).then_some(()));
    }

    fn failures(&self) -> Vec<String> {
        let log = self.server.log();
        let lines = log.lines().filter(|line| line.contains("cannot reload"));
        lines.map(ToOwned::to_owned).collect()
    }
}

fn sighup_reloads_the_certificate_and_flushes(env: &TestEnv) {
    let directory = env.store.directory.path();
    let files = Certificate::write(directory);
    let https = HttpsServer::start(env, &files.chain, &files.key);
    let first = https.certificate();
    assert_eq!(first, std::fs::read(&files.chain).unwrap());
    Certificate::write(directory);
    let second = std::fs::read(&files.chain).unwrap();
    https.server.signal("HUP");
    https.wait_for_log("reloaded the certificate");
    https.wait_for_log("flushed on SIGHUP");
    assert!(first != second && https.certificate() == second);
    // Each signal reports a failure, even if the files have not changed.
    std::fs::write(&files.chain, "no certificate").unwrap();
    for count in 1..3 {
        https.server.signal("HUP");
        wait_until("the failure is logged", || {
            (https.failures().len() >= count).then_some(())
        });
    }
    let failures = https.failures();
    for part in [
        &files.chain.display().to_string(),
        &files.key.display().to_string(),
        "the previous ones stay in use",
        "contains no certificate in PEM format",
    ] {
        assert!(failures[0].contains(part), "{failures:?}");
    }
    assert_eq!(https.certificate(), second);
    https.server.signal("TERM");
    let (code, log) = https.server.wait();
    assert_eq!(code, Some(0), "{log}");
    let began = log.lines().find(|line| line.contains("open files: at most ")).unwrap();
    assert!(began.contains("; connections: at most "), "{began}");
}

fn a_renewed_certificate_is_noticed_and_connections_stay_open(env: &TestEnv) {
    let directory = env.store.directory.path();
    let files = Certificate::write(directory);
    let https = HttpsServer::start(env, &files.chain, &files.key);
    let first = https.certificate();
    let expiry = https.metric(EXPIRY);
    let in_a_day = 86_400 + now();
    assert!((expiry - in_a_day).abs() < 3600, "{expiry} instead of {in_a_day}");
    // A request in flight, whose body follows after the renewal.
    let body = r#"{"name":"over a renewal"}"#;
    let mut stream = handshake(https.server.client.connect(), HTTP_1).unwrap();
    let head = format!(
        "POST /api-tokens HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        basic(ADMIN.0, ADMIN.1),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    Certificate::write(directory);
    let second = std::fs::read(&files.chain).unwrap();
    https.wait_for_certificate(&second);
    assert_ne!(first, second);
    stream.write_all(body.as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    let mut status = String::new();
    stream.read_line(&mut status).unwrap();
    assert_eq!(status, "HTTP/1.1 200 OK\r\n");
    let reloaded = https.server.log();
    assert!(
        reloaded.contains(": serial number ") && reloaded.contains(", valid until "),
        "{reloaded}"
    );
    assert_eq!(https.metric(RELOAD_SUCCESSFUL), 1);
}

fn now() -> i64 {
    let output = std::process::Command::new("date").arg("+%s").output().unwrap();
    str::from_utf8(&output.stdout).unwrap().trim().parse().unwrap()
}

fn an_unusable_certificate_is_reported_once_and_the_previous_one_stays(env: &TestEnv) {
    let directory = env.store.directory.path();
    let files = Certificate::write(directory);
    let https = HttpsServer::start(env, &files.chain, &files.key);
    let first = https.certificate();
    let next = directory.join("next");
    std::fs::create_dir(&next).unwrap();
    let renewed = Certificate::write(&next);
    // The certificate is new, and the key is old.
    std::fs::rename(&renewed.chain, &files.chain).unwrap();
    wait_until("the failure is a metric", || {
        (https.metric(RELOAD_SUCCESSFUL) == 0).then_some(())
    });
    assert_eq!(https.certificate(), first);
    https.wait_for_log("does not belong to the first certificate in");
    std::fs::rename(&renewed.key, &files.key).unwrap();
    let second = std::fs::read(&files.chain).unwrap();
    https.wait_for_certificate(&second);
    assert_eq!(https.metric(RELOAD_SUCCESSFUL), 1);
    assert_eq!(https.failures().len(), 1, "{}", https.server.log());
}

fn certificates_behind_symbolic_links_are_noticed(env: &TestEnv) {
    let directory = env.store.directory.path();
    let version = |number: u32| {
        let place = directory.join(format!("..version-{number}"));
        std::fs::create_dir(&place).unwrap();
        Certificate::write(&place);
        place
    };
    // Replaces a link at once, as Kubernetes and certbot do.
    let link = |target: &Path, path: &Path| {
        let temporary = directory.join("temporary");
        symlink(target, &temporary).unwrap();
        std::fs::rename(&temporary, path).unwrap();
    };
    // Kubernetes: each file is a link into `..data`, a link to a directory.
    let data = directory.join("..data");
    let (first, second, third) = (version(1), version(2), version(3));
    link(&first, &data);
    let file = |name: &str| -> PathBuf { directory.join(name) };
    let (chain, key) = (file("tls.crt"), file("tls.key"));
    link(Path::new("..data/server.crt"), &chain);
    link(Path::new("..data/server.key"), &key);
    let https = HttpsServer::start(env, &chain, &key);
    let pem = |version: &Path| std::fs::read(version.join("server.crt")).unwrap();
    assert_eq!(https.certificate(), pem(&first));
    link(&second, &data);
    https.wait_for_certificate(&pem(&second));
    // certbot: each file is a link to a version of it.
    link(&third.join("server.crt"), &chain);
    link(&third.join("server.key"), &key);
    https.wait_for_certificate(&pem(&third));
}
