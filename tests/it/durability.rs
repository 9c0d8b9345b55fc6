//! Acknowledged writes are kept.

use std::{
    collections::HashSet,
    io::{Read, Write},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;

use crate::{
    support::{
        ADMIN, TestEnv,
        client::{Auth, LEGACY, Response, TOKENS, basic, string},
        program::Program,
        wait_until,
    },
    tests,
};

tests![
    a_killed_server_keeps_acknowledged_writes,
    a_draining_server_is_not_ready_but_serves,
    a_stopping_server_completes_requests_in_flight,
    a_second_signal_stops_immediately,
];

const CLIENTS: usize = 16;

fn a_killed_server_keeps_acknowledged_writes(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let server = program.serve(&[]);
    let answered = Mutex::new(HashSet::new());
    let so_far = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (app, answered, so_far) = (&server.client, &answered, &so_far);
            scope.spawn(move || {
                let json_type = [("content-type", "application/json")];
                loop {
                    let path = if client % 2 == 0 { TOKENS } else { LEGACY };
                    let Ok(response) = app.try_send("POST", path, Auth::Admin, &json_type, r#"{"name":"n"}"#) else {
                        break;
                    };
                    let created = response.expect(200).json();
                    let id = created.get("id").or(created.get("uuid")).unwrap();
                    answered.lock().unwrap().insert(string(id));
                    so_far.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        wait_until("300 creates are answered", || {
            (so_far.load(Ordering::SeqCst) >= 300).then_some(())
        });
        server.signal("KILL");
    });
    drop(server);
    let answered = answered.into_inner().unwrap();
    let server = program.serve(&[]);
    let listed = server.client.get(LEGACY, Auth::Admin).expect(200).json();
    let kept: HashSet<String> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|token| string(&token["uuid"]))
        .collect();
    let lost: Vec<_> = answered.difference(&kept).collect();
    assert!(
        lost.is_empty(),
        "{} of {} answered creates are lost",
        lost.len(),
        answered.len()
    );
    // Each write has its audit event: both are in one transaction.
    let events: HashSet<String> = env
        .store
        .texts("SELECT token_id AS found FROM audit_events WHERE action = 'token.created'")
        .into_iter()
        .collect();
    assert_eq!(events, kept);
}

fn a_draining_server_is_not_ready_but_serves(env: &TestEnv) {
    let server = Program::new(&env.store.url()).serve(&["--drain-seconds", "300"]);
    let client = &server.client;
    let (_, value) = client.new_token(&json!({ "name": "n" }));
    let myself = format!("{TOKENS}/self");
    let closes = |response: &Response| response.header("connection") == Some("close");
    assert!(!closes(&client.get(&myself, Auth::Key(&value)).expect(200)));
    server.signal("TERM");
    let unready = wait_until("the server is not ready", || {
        let response = client.get("/readyz", Auth::Anonymous);
        (response.status == 503).then_some(response)
    });
    assert_eq!(unready.message(), "the server is shutting down; use another one");
    assert!(closes(&unready));
    assert!(closes(&client.get("/healthz", Auth::Anonymous).expect(200)));
    assert!(closes(&client.get(&myself, Auth::Key(&value)).expect(200)));
    client.new_token(&json!({ "name": "created by a request during the drain" }));
    server.signal("TERM");
    let (code, log) = server.wait();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("draining for 300s") && log.contains("stopped"), "{log}");
}

fn a_stopping_server_completes_requests_in_flight(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    for signal in ["TERM", "INT"] {
        let server = program.serve(&[]);
        let (id, value) = server.client.new_token(&json!({ "name": "n" }));
        server
            .client
            .get(&format!("{TOKENS}/self"), Auth::Key(&value))
            .expect(200);
        let body = r#"{"name":"in flight"}"#;
        let mut in_flight = server.client.connect();
        let head = format!(
            "POST {LEGACY} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Expect: 100-continue\r\n\r\n",
            basic(ADMIN.0, ADMIN.1),
            body.len()
        );
        in_flight.write_all(head.as_bytes()).unwrap();
        // The server requests the body once it has begun to handle the request.
        let mut proceed = [0; 25];
        in_flight.read_exact(&mut proceed).unwrap();
        assert!(proceed.starts_with(b"HTTP/1.1 100 "));
        server.signal(signal);
        let address = server.client.address;
        wait_until("new connections are refused", || {
            std::net::TcpStream::connect(address).is_err().then_some(())
        });
        in_flight.write_all(body.as_bytes()).unwrap();
        let mut response = String::new();
        in_flight.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        let (code, log) = server.wait();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("stopped"));
        let used = env.store.texts(&format!(
            "SELECT coalesce(last_used_at, 0) || '' AS found FROM tokens WHERE id = '{id}'"
        ));
        assert_ne!(used, ["0"], "the use is written at the end");
    }
}

fn a_second_signal_stops_immediately(env: &TestEnv) {
    let server = Program::new(&env.store.url()).serve(&[]);
    let mut stalled = server.client.connect();
    let authorization = basic(ADMIN.0, ADMIN.1);
    let head = format!(
        "POST {LEGACY} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    );
    stalled.write_all(head.as_bytes()).unwrap();
    stalled.read_exact(&mut [0; 25]).unwrap();
    let began = std::time::Instant::now();
    server.signal("INT");
    wait_until("the first signal is taken", || {
        server.log().contains("shutting down: ").then_some(())
    });
    server.signal("INT");
    let (code, log) = server.wait();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("shutting down immediately") && began.elapsed() < std::time::Duration::from_secs(10));
}
