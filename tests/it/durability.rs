//! What was answered is kept.

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
        ADMIN, Lab,
        client::{As, LEGACY, TOKENS, basic, string},
        eventually,
        program::Program,
    },
    tests,
};

tests![
    a_killed_server_has_kept_what_it_answered,
    a_stopped_server_ends_what_is_in_flight,
    a_second_signal_stops_at_once,
];

const CLIENTS: usize = 16;

fn a_killed_server_has_kept_what_it_answered(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    let serving = program.serve(&[]);
    let answered = Mutex::new(HashSet::new());
    let so_far = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (app, answered, so_far) = (&serving.client, &answered, &so_far);
            scope.spawn(move || {
                let json_type = [("content-type", "application/json")];
                loop {
                    let door = if client % 2 == 0 { TOKENS } else { LEGACY };
                    let Ok(answer) = app.try_send("POST", door, As::Admin, &json_type, r#"{"name":"n"}"#) else {
                        break;
                    };
                    let made = answer.expect(200).json();
                    let id = made.get("id").or(made.get("uuid")).unwrap();
                    answered.lock().unwrap().insert(string(id));
                    so_far.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        eventually("300 creates are answered", || {
            (so_far.load(Ordering::SeqCst) >= 300).then_some(())
        });
        serving.signal("KILL");
    });
    drop(serving);
    let answered = answered.into_inner().unwrap();
    let serving = program.serve(&[]);
    let listed = serving.client.get(LEGACY, As::Admin).expect(200).json();
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
    // And each has its audit event: the two are one transaction.
    let events: HashSet<String> = lab
        .store
        .texts("SELECT token_id AS found FROM audit_events WHERE action = 'token.created'")
        .into_iter()
        .collect();
    assert_eq!(events, kept);
}

fn a_stopped_server_ends_what_is_in_flight(lab: &Lab) {
    let program = Program::new(&lab.store.url());
    for signal in ["TERM", "INT"] {
        let serving = program.serve(&[]);
        let (id, value) = serving.client.new_token(&json!({ "name": "n" }));
        serving
            .client
            .get(&format!("{TOKENS}/self"), As::Key(&value))
            .expect(200);
        let body = r#"{"name":"in flight"}"#;
        let mut in_flight = serving.client.connect();
        let head = format!(
            "POST {LEGACY} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Expect: 100-continue\r\n\r\n",
            basic(ADMIN.0, ADMIN.1),
            body.len()
        );
        in_flight.write_all(head.as_bytes()).unwrap();
        // The server asks for the body when it has begun with the request.
        let mut proceed = [0; 25];
        in_flight.read_exact(&mut proceed).unwrap();
        assert!(proceed.starts_with(b"HTTP/1.1 100 "));
        serving.signal(signal);
        let address = serving.client.address;
        eventually("nobody new is let in", || {
            std::net::TcpStream::connect(address).is_err().then_some(())
        });
        in_flight.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        in_flight.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let (code, log) = serving.wait();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("stopped"));
        let used = lab.store.texts(&format!(
            "SELECT coalesce(last_used_at, 0) || '' AS found FROM tokens WHERE id = '{id}'"
        ));
        assert_ne!(used, ["0"], "the use is written at the end");
    }
}

fn a_second_signal_stops_at_once(lab: &Lab) {
    let serving = Program::new(&lab.store.url()).serve(&[]);
    let mut stalled = serving.client.connect();
    let authorization = basic(ADMIN.0, ADMIN.1);
    let head = format!(
        "POST {LEGACY} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    );
    stalled.write_all(head.as_bytes()).unwrap();
    stalled.read_exact(&mut [0; 25]).unwrap();
    let began = std::time::Instant::now();
    serving.signal("INT");
    eventually("the first signal is taken", || {
        serving.log().contains("stopping: ").then_some(())
    });
    serving.signal("INT");
    let (code, log) = serving.wait();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopping at once") && began.elapsed() < std::time::Duration::from_secs(10));
}
