//! Connections that hog the server: each ends within the request timeout, with and without TLS, and does not delay
//! others.
//!
//! `startup::server` tests the exact times with a paused clock. These tests use real sockets and generous bounds.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use openssl::ssl::SslStream;

use crate::{
    support::{
        ADMIN, TestApp, TestEnv,
        certificate::{Certificate, handshake},
        client::{Auth, Client, basic},
        program::Program,
        wait_until,
    },
    tests,
};

tests![
    every_slow_request_times_out,
    an_unread_body_closes_the_connection,
    a_body_is_asked_for_only_once_it_is_read,
    a_client_that_stops_reading_is_disconnected,
    clients_that_stop_reading_use_little_memory,
    silent_connections_do_not_delay_handshakes,
    http_2_is_not_offered,
    silent_connections_do_not_delay_shutdown,
];

trait Stream: Read + Write {
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for SslStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref()
    }
}

/// Returns the flags of a server with a certificate.
fn tls_flags(env: &TestEnv) -> [String; 4] {
    Certificate::write(env.store.directory.path()).flags()
}

fn connect(client: &Client, is_secure: bool) -> Box<dyn Stream> {
    let tcp = client.connect();
    tcp.set_write_timeout(Some(Duration::from_mins(1))).unwrap();
    if is_secure {
        Box::new(handshake(tcp, b"\x08http/1.1").unwrap())
    } else {
        Box::new(tcp)
    }
}

/// Runs a test over HTTP and over HTTPS with a short request timeout.
fn over_http_and_https(env: &TestEnv, test: impl Fn(&TestApp, &dyn Fn() -> Box<dyn Stream>)) {
    let tls = tls_flags(env);
    for is_secure in [false, true] {
        let mut flags = vec!["--request-timeout-seconds", "5"];
        if is_secure {
            flags.extend(tls.iter().map(String::as_str));
        }
        let app = env.app_with(&flags);
        test(&app, &|| connect(&app.client, is_secure));
    }
}

fn read_to_end(stream: &mut dyn Stream) -> String {
    let mut text = Vec::new();
    // The server may close the connection while the client is still sending.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// A client that waits for `100 Continue` (RFC 9110, section 10.1.1) sends no body that would be refused.
fn a_body_is_asked_for_only_once_it_is_read(env: &TestEnv) {
    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    over_http_and_https(env, |_, connect| {
        let head = |password: &str, length: usize| {
            let credentials = basic(ADMIN.0, password);
            format!(
                "POST /api-tokens HTTP/1.1\r\nHost: x\r\nAuthorization: {credentials}\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
            )
        };
        for (head, status) in [(head("wrong", 2_000_000), 401), (head(ADMIN.1, 2_000_000), 413)] {
            let mut stream = connect();
            stream.write_all(head.as_bytes()).unwrap();
            let response = read_to_end(&mut *stream);
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        }
        let mut stream = connect();
        let body = "{}";
        // The second request checks that the connection is still usable.
        for _ in 0..2 {
            stream.write_all(head(ADMIN.1, body.len()).as_bytes()).unwrap();
            let mut interim = vec![0; CONTINUE.len()];
            stream.read_exact(&mut interim).unwrap();
            assert_eq!(String::from_utf8_lossy(&interim), CONTINUE);
            stream.write_all(body.as_bytes()).unwrap();
            let response = read_response(&mut *stream);
            assert!(response.ends_with(r#"{"message":"name: is required"}"#), "{response}");
        }
    });
}

/// Reads a response whose body is a JSON object that ends the text.
fn read_response(stream: &mut dyn Stream) -> String {
    let mut response = Vec::new();
    while !response.ends_with(b"}") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        response.extend(byte);
    }
    String::from_utf8(response).unwrap()
}

fn every_slow_request_times_out(env: &TestEnv) {
    over_http_and_https(env, |_, connect| {
        let (mut first, mut second, mut silent) = (connect(), connect(), connect());
        first.write_all(b"G").unwrap();
        second.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut response = Vec::new();
        while !response.ends_with(br#"{"status":"ok"}"#) {
            let mut byte = [0];
            second.read_exact(&mut byte).unwrap();
            response.extend(byte);
        }
        second.write_all(b"G").unwrap();
        for refused in [&mut first, &mut second] {
            let response = read_to_end(&mut **refused);
            assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
        }
        assert_eq!(read_to_end(&mut *silent), "");
    });
}

fn an_unread_body_closes_the_connection(env: &TestEnv) {
    over_http_and_https(env, |_, connect| {
        let mut endless = connect();
        endless
            .write_all(b"POST /verify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
        // The write fails once the server has closed the connection. A timeout of the write is a different error,
        // checked below.
        let error = loop {
            if let Err(error) = endless.write_all(chunk.as_bytes()) {
                break error;
            }
        };
        assert!(
            ![ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()),
            "{error}"
        );
        let mut dripping = connect();
        dripping
            .write_all(b"POST /verify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        dripping
            .tcp()
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        wait_until("the server closes the connection", || {
            // A read that times out is the pause between two drops.
            let is_open = dripping.read(&mut [0; 1000]).map_or_else(
                |error| [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()),
                |length| length > 0,
            );
            let is_open = is_open && dripping.write_all(b"1\r\nx\r\n").is_ok();
            (!is_open).then_some(())
        });
    });
}

fn a_client_that_stops_reading_is_disconnected(env: &TestEnv) {
    let bundle = env.app().asset("/docs", "swagger-ui-bundle.js");
    over_http_and_https(env, |app, connect| {
        let request = format!("GET {bundle} HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut greedy = connect();
        greedy.write_all(request.repeat(16).as_bytes()).unwrap();
        wait_until("the server disconnects the client", || {
            greedy.write_all(b"x").is_err().then_some(())
        });
        // Other clients are served meanwhile.
        assert!(app.client.connect().write_all(b"x").is_ok());
    });
}

fn clients_that_stop_reading_use_little_memory(env: &TestEnv) {
    const CLIENTS: usize = 300;
    let server = Program::new(&env.store.url()).serve(&[]);
    let bundle = server.client.asset("/docs", "swagger-ui-bundle.js");
    let request = format!("GET {bundle} HTTP/1.1\r\nHost: x\r\n\r\n");
    let bundle = server
        .client
        .send("HEAD", &bundle, Auth::Anonymous, &[], "")
        .expect(200);
    let length: usize = bundle.header("content-length").unwrap().parse().unwrap();
    let before = server.resident_bytes();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut stream = server.client.connect();
            stream.write_all(request.as_bytes()).unwrap();
            stream.read_exact(&mut [0; 12]).unwrap();
            stream
        })
        .collect();
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(
        grown < CLIENTS * length / 3,
        "{grown} bytes for {CLIENTS} responses of {length}"
    );
    drop(clients);
}

fn silent_connections_do_not_delay_handshakes(env: &TestEnv) {
    let tls = tls_flags(env);
    let app = env.app_with(&tls.each_ref().map(String::as_str));
    let silent: Vec<TcpStream> = (0..600).map(|_| app.client.connect()).collect();
    let mut other = connect(&app.client, true);
    other
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert!(read_to_end(&mut *other).starts_with("HTTP/1.1 200 "));
    // It did not have to wait for a silent connection to time out.
    for stream in silent {
        stream.set_nonblocking(true).unwrap();
        let error = stream.peek(&mut [0]).expect_err("a silent connection is still open");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}

fn http_2_is_not_offered(env: &TestEnv) {
    let tls = tls_flags(env);
    let app = env.app_with(&tls.each_ref().map(String::as_str));
    let chosen = handshake(app.client.connect(), b"\x02h2\x08http/1.1").unwrap();
    assert_eq!(chosen.ssl().selected_alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(handshake(app.client.connect(), b"\x02h2").is_none());
}

fn silent_connections_do_not_delay_shutdown(env: &TestEnv) {
    let tls = tls_flags(env);
    for flags in [&[][..], &tls] {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let app = env.app_with(&flags);
        let mut silent: Vec<TcpStream> = (0..5).map(|_| app.client.connect()).collect();
        // One connection has sent the start of a request.
        silent[0].write_all(b"G").unwrap();
        // Connections are accepted in order: once a later one is served, the silent ones are accepted too.
        let mut served = connect(&app.client, !flags.is_empty());
        served
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .unwrap();
        assert!(read_to_end(&mut *served).starts_with("HTTP/1.1 200 "));
        let began = std::time::Instant::now();
        app.stop();
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        for mut stream in silent {
            let end = stream.read(&mut [0; 1024]);
            let is_closed = match &end {
                Ok(length) => *length == 0,
                Err(error) => error.kind() == ErrorKind::ConnectionReset,
            };
            assert!(is_closed, "{end:?}");
        }
    }
}
