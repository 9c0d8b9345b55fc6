//! Tests over in-memory connections with tokio's paused clock: minutes pass instantly, and
//! durations are exact.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Payload},
};
use futures_util::{StreamExt, future::select};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::LocalSet,
    time::{Instant, sleep, timeout},
};

use super::*;
use crate::http::{
    connection::{self, KEEP_ALIVE},
    observe,
};

const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_HEADER_BYTES: usize = 16_384;
const LARGE: usize = 300_000;

/// Capacity of the in-memory network in each direction.
const NETWORK_BUFFER: usize = 4096;

async fn read(request: HttpRequest, mut payload: Payload) -> HttpResponse {
    connection::read_body(&request);
    let mut length = 0;
    while let Some(Ok(bytes)) = payload.next().await {
        length += bytes.len();
    }
    connection::finish_body(&request);
    HttpResponse::Ok().body(format!("{length} bytes"))
}

async fn wait(request: HttpRequest, payload: Payload) -> HttpResponse {
    sleep(2 * TIMEOUT).await;
    read(request, payload).await
}

fn app() -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<ResponseBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new()
        .route("/read", web::to(read))
        .route("/wait", web::to(wait))
        .route("/ignore", web::to(|| async { HttpResponse::Ok().body("ignored") }))
        .route(
            "/large",
            web::to(|| async { HttpResponse::Ok().body("x".repeat(LARGE)) }),
        )
        .wrap_fn(observe::observe)
}

/// Runs `client` on its end of a connection until the server closes the other end. Returns the
/// elapsed time.
fn connect<F: Future<Output = DuplexStream>>(client: impl FnOnce(DuplexStream) -> F) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let began = Instant::now();
        let stopping = Server::build().graceful_shutdown_signal();
        let service = http_service(&app, stopping).new_service(()).await;
        let service = service.unwrap();
        let (ours, theirs) = duplex(NETWORK_BUFFER);
        let connection = Rc::new(Connection::new(Some(Peer::UnixSocket), TIMEOUT));
        let stream = TimedStream::new(theirs, connection, EarlyResponses::new(MAX_HEADER_BYTES));
        let server = actix_service::Service::call(&service, (stream, Protocol::Http1, None));
        let closed = async {
            let _ = server.await;
            Instant::now()
        };
        let closed = timeout(Duration::from_hours(1), async {
            let (client, closed) = (Box::pin(client(ours)), Box::pin(closed));
            match select(client, closed).await {
                futures_util::future::Either::Left((_open, closed)) => closed.await,
                futures_util::future::Either::Right((closed, client)) => {
                    client.await;
                    closed
                }
            }
        });
        closed.await.expect("the server closes the connection") - began
    })
}

/// Sends as much as the server accepts.
async fn send(stream: &mut DuplexStream, text: &str) {
    // The server may have closed the connection.
    let _ = stream.write_all(text.as_bytes()).await;
}

/// Reads up to and including `end`.
async fn receive(stream: &mut DuplexStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let byte = stream
            .read_u8()
            .await
            .unwrap_or_else(|_| panic!("closed after {text:?}"));
        text.push(char::from(byte));
    }
    text
}

async fn receive_all(stream: &mut DuplexStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

fn head(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n")
}

#[track_caller]
fn assert_took(took: Duration, expected: Duration) {
    assert!(
        took >= expected && took < expected + Duration::from_secs(2),
        "{took:?} instead of {expected:?}"
    );
}

#[test]
fn a_connection_without_a_request_is_closed() {
    let took = connect(|mut stream| async {
        assert_eq!(receive_all(&mut stream).await, "");
        stream
    });
    assert_took(took, TIMEOUT);
}

#[test]
fn request_heads_time_out() {
    for answered in 0..3 {
        let took = connect(|mut stream| async move {
            for _ in 0..answered {
                send(&mut stream, &head("GET", "/ignore", "")).await;
                receive(&mut stream, "ignored").await;
            }
            send(&mut stream, "G").await;
            let refused = receive_all(&mut stream).await;
            assert!(refused.starts_with("HTTP/1.1 408 "), "{refused}");
            assert!(
                refused.ends_with(r#"{"message":"the request did not arrive in time"}"#),
                "{refused}"
            );
            stream
        });
        assert_took(took, TIMEOUT + LINGER);
    }
}

#[test]
fn a_trickled_head_does_not_extend_its_deadline() {
    let took = connect(|mut stream| async {
        while timeout(Duration::from_millis(200), stream.read_u8()).await.is_err() {
            send(&mut stream, "G").await;
        }
        stream
    });
    assert_took(took, TIMEOUT + LINGER);
}

#[test]
fn an_idle_connection_is_closed() {
    let took = connect(|mut stream| async {
        send(&mut stream, &head("GET", "/ignore", "")).await;
        receive(&mut stream, "ignored").await;
        assert_eq!(receive_all(&mut stream).await, "");
        stream
    });
    assert_took(took, KEEP_ALIVE);
}

#[test]
fn a_connection_in_use_stays_open() {
    const PAUSE: Duration = Duration::from_secs(4);
    const { assert!(PAUSE.as_secs() < KEEP_ALIVE.as_secs()) };
    let took = connect(|mut stream| async {
        for _ in 0..50 {
            send(&mut stream, &head("GET", "/ignore", "")).await;
            receive(&mut stream, "ignored").await;
            sleep(PAUSE).await;
        }
        stream
    });
    assert_took(took, 50 * PAUSE);
}

#[test]
fn an_unread_body_closes_the_connection() {
    // An endless body, one that drips, and one that never arrives.
    for (headers, pause) in [
        ("transfer-encoding: chunked\r\n", Duration::ZERO),
        ("transfer-encoding: chunked\r\n", Duration::from_millis(300)),
        ("content-length: 1000000\r\n", Duration::from_millis(300)),
        ("content-length: 1000000\r\n", TIMEOUT),
    ] {
        let took = connect(|mut stream| async move {
            send(&mut stream, &head("POST", "/ignore", headers)).await;
            let response = receive(&mut stream, "ignored").await;
            assert!(response.contains("connection: close"), "{response}");
            while stream.write_all(b"1\r\nx\r\n").await.is_ok() {
                if pause.is_zero() {
                    // The paused clock advances only while nothing can be sent.
                    sleep(Duration::from_millis(1)).await;
                }
                if timeout(pause, stream.read_u8()).await.is_ok_and(|read| read.is_err()) {
                    break;
                }
            }
            stream
        });
        assert_took(took, LINGER);
    }
}

#[test]
fn a_consumed_body_keeps_the_connection_open() {
    connect(|mut stream| async {
        for _ in 0..3 {
            send(&mut stream, &head("POST", "/read", "content-length: 3\r\n")).await;
            send(&mut stream, "abc").await;
            receive(&mut stream, "3 bytes").await;
            send(&mut stream, &head("POST", "/read", "transfer-encoding: chunked\r\n")).await;
            send(&mut stream, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").await;
            receive(&mut stream, "5 bytes").await;
        }
        stream
    });
}

#[test]
fn a_client_that_stops_reading_is_disconnected() {
    for (path, count) in [("/large", 1), ("/large", 16), ("/ignore", 1000)] {
        let took = connect(|mut stream| async move {
            send(&mut stream, &head("GET", path, "").repeat(count)).await;
            stream
        });
        assert_took(took, TIMEOUT);
    }
}

#[test]
fn a_slow_reader_gets_the_whole_response() {
    let took = connect(|mut stream| async {
        send(&mut stream, &head("GET", "/large", "connection: close\r\n")).await;
        let (mut received, mut buffer) = (0, [0; 1000]);
        loop {
            sleep(Duration::from_secs(2)).await;
            match stream.read(&mut buffer).await.unwrap() {
                0 => break,
                length => received += length,
            }
        }
        assert!(received > LARGE, "{received}");
        stream
    });
    assert!(took > 10 * TIMEOUT, "{took:?}");
}

#[test]
fn a_handler_may_outlast_the_request_timeout() {
    let took = connect(|mut stream| async {
        for _ in 0..2 {
            send(&mut stream, &head("GET", "/wait", "")).await;
            receive(&mut stream, "0 bytes").await;
            send(&mut stream, &head("POST", "/wait", "content-length: 60000\r\n")).await;
            send(&mut stream, &"x".repeat(60_000)).await;
            receive(&mut stream, "60000 bytes").await;
        }
        stream
    });
    assert_took(took, 8 * TIMEOUT + KEEP_ALIVE);
}

#[test]
fn no_input_is_read_while_a_handler_runs() {
    connect(|mut stream| async {
        send(&mut stream, &head("GET", "/wait", "")).await;
        let sent = timeout(TIMEOUT, async {
            let mut sent = 0;
            while stream.write_all(&[b'x'; 100]).await.is_ok() {
                sent += 100;
                assert!(sent <= 2 * NETWORK_BUFFER, "{sent} bytes were taken");
            }
        });
        assert!(sent.await.is_err(), "the client had to wait");
        stream
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    connect(|mut stream| async {
        let requests = head("GET", "/ignore", "") + &head("POST", "/read", "content-length: 3\r\n") + "abc";
        send(&mut stream, &requests.repeat(20)).await;
        for _ in 0..20 {
            receive(&mut stream, "ignored").await;
            receive(&mut stream, "3 bytes").await;
        }
        stream
    });
}

#[tokio::test]
async fn a_read_returns_one_request_head_at_a_time() {
    let (mut client, server) = duplex(NETWORK_BUFFER);
    let requests = head("GET", "/ignore", "");
    send(&mut client, &requests.repeat(3)).await;
    let connection = Rc::new(Connection::new(Some(Peer::UnixSocket), TIMEOUT));
    let mut stream = TimedStream::new(server, connection, EarlyResponses::new(MAX_HEADER_BYTES));
    let mut buffer = [0; NETWORK_BUFFER];
    let length = stream.read(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..length], requests.as_bytes());
}

#[test]
fn heads_and_bodies_have_separate_size_limits() {
    for headers in [format!("x-long: {}\r\n", "x".repeat(40_000)), "x: y\r\n".repeat(10_000)] {
        connect(|mut stream| async move {
            let request = head("GET", "/ignore", &headers);
            let (mut reader, mut writer) = tokio::io::split(stream);
            let (_, refused) = tokio::join!(writer.write_all(request.as_bytes()), async {
                let mut text = String::new();
                reader.read_to_string(&mut text).await.unwrap();
                text
            });
            assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
            stream = reader.unsplit(writer);
            stream
        });
    }
    connect(|mut stream| async {
        send(
            &mut stream,
            &(head("POST", "/read", "content-length: 60000\r\n") + &"x".repeat(60_000)),
        )
        .await;
        receive(&mut stream, "60000 bytes").await;
        stream
    });
}

#[test]
fn expect_continue_head_and_http_1_0_are_supported() {
    connect(|mut stream| async {
        send(
            &mut stream,
            &head("POST", "/read", "expect: 100-continue\r\ncontent-length: 3\r\n"),
        )
        .await;
        receive(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
        send(&mut stream, "abc").await;
        receive(&mut stream, "3 bytes").await;
        send(&mut stream, &head("HEAD", "/large", "")).await;
        let response = receive(&mut stream, "\r\n\r\n").await;
        assert!(response.contains(&format!("content-length: {LARGE}\r\n")), "{response}");
        send(&mut stream, &head("GET", "/ignore", "connection: close\r\n")).await;
        let response = receive_all(&mut stream).await;
        assert!(response.ends_with("ignored"), "{response}");
        stream
    });
    connect(|mut stream| async {
        send(&mut stream, "GET /ignore HTTP/1.0\r\n\r\n").await;
        let response = receive_all(&mut stream).await;
        assert!(
            response.starts_with("HTTP/1.0 200 ") && response.ends_with("ignored"),
            "{response}"
        );
        stream
    });
}
