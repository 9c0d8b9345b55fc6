//! The log never delays a request, and no line is lost while standard error is read.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStderr, Stdio},
    time::Duration,
};

use crate::{
    support::{
        TestEnv,
        client::{Auth, Client},
        program::Program,
        wait_until,
    },
    tests,
};

tests![
    a_stalled_log_reader_drops_lines_but_no_requests,
    dropped_lines_are_reported_when_the_reader_resumes,
    a_graceful_shutdown_writes_every_line,
];

/// A request ID of the maximum length, to make log lines long.
const REQUEST_ID: &str = "0123456789012345678901234567890123456789012345678901234567890123";
const BATCH: usize = 100;

/// A server whose standard error is read only up to the line with its address.
struct StalledLogServer {
    child: Child,
    log: Option<BufReader<ChildStderr>>,
    address: SocketAddr,
}

impl StalledLogServer {
    fn start(env: &TestEnv) -> Self {
        let mut command = Program::new(&env.store.url()).command(&["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the server ended");
            if let Some((_, rest)) = line.split_once("listening on http://") {
                break rest.trim().parse().unwrap();
            }
        };
        Self {
            child,
            log: Some(log),
            address,
        }
    }

    /// Sends requests and reads their responses. Returns the number of successful ones.
    fn answered(&self, requests: usize) -> usize {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let request = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: {REQUEST_ID}\r\n\r\n");
        let (body, mut answered) = (r#"{"status":"ok"}"#, 0);
        for _ in 0..requests / BATCH {
            stream.write_all(request.repeat(BATCH).as_bytes()).unwrap();
            let mut responses = String::new();
            let mut bytes = [0; 8192];
            while responses.matches(body).count() < BATCH {
                let read = stream.read(&mut bytes).unwrap();
                assert!(read > 0, "the server closed the connection");
                responses.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
            }
            answered += responses.matches("HTTP/1.1 200 ").count();
        }
        answered
    }

    fn dropped(&self) -> u64 {
        let metrics = Client::new(self.address, "")
            .get("/metrics", Auth::Anonymous)
            .expect(200)
            .text;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("tokenbridge_log_lines_dropped_total "));
        line.expect("the metric").parse().unwrap()
    }

    fn terminate(&mut self) -> Option<i32> {
        let status = std::process::Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(status.unwrap().success());
        wait_until("the server ends", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for StalledLogServer {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn a_stalled_log_reader_drops_lines_but_no_requests(env: &TestEnv) {
    let mut server = StalledLogServer::start(env);
    assert_eq!(server.dropped(), 0);
    assert_eq!(server.answered(8000), 8000);
    wait_until("lines are dropped", || (server.dropped() > 0).then_some(()));
    assert_eq!(server.terminate(), Some(0));
}

fn dropped_lines_are_reported_when_the_reader_resumes(env: &TestEnv) {
    let mut server = StalledLogServer::start(env);
    assert_eq!(server.answered(8000), 8000);
    wait_until("lines are dropped", || (server.dropped() > 0).then_some(()));
    let mut log = server.log.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        text
    });
    // Lines may still be dropped while the queue is drained.
    wait_until("there is room", || {
        let before = server.dropped();
        (server.answered(BATCH) == BATCH && server.dropped() == before).then_some(())
    });
    let dropped = server.dropped();
    assert_eq!(server.terminate(), Some(0));
    let log = reader.join().unwrap();
    let reports = log
        .lines()
        .filter_map(|line| line.split_once(" log lines were dropped because"));
    let reported = reports.map(|(before, _)| before.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    assert_eq!(reported.sum::<u64>(), dropped, "{log}");
    assert!(log.ends_with("stopped\n"), "{log}");
}

fn a_graceful_shutdown_writes_every_line(env: &TestEnv) {
    let server = Program::new(&env.store.url()).serve(&[]);
    for _ in 0..50 {
        server.client.get("/healthz", Auth::Anonymous).expect(200);
    }
    server.signal("TERM");
    let (code, log) = server.wait();
    assert_eq!(code, Some(0));
    assert_eq!(log.matches("route=/healthz").count(), 50, "{log}");
    assert!(log.ends_with("stopped\n"), "{log}");
}
