//! The state of a connection, shared by its stream and the requests that arrive on it.
//!
//! The stream (`startup::stream`) enforces the timeouts. It cannot see where a request ends and its
//! response begins, so the middleware records that here for the stream.

use std::{
    cell::Cell,
    net::IpAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::{
    HttpRequest,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest},
    web::Bytes,
};
use tokio::time::Instant;

/// Maximum idle time before the next request.
pub const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Time for which a closing connection still accepts input. An immediate close would reset the
/// connection, and the client could lose the response.
pub const LINGER: Duration = Duration::from_secs(1);

/// Maximum size of a piece of a response body. A body is copied into the write buffer piece by
/// piece, so that a client that does not read keeps one piece in memory, not the whole body.
pub const MAX_CHUNK: usize = 16 * 1024;

/// The event that a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionPhase {
    /// The first byte of a request, until the deadline.
    Idle { until: Instant },
    /// The rest of a request head, until the deadline.
    Head { until: Instant },
    /// The response. The request body is read only while a handler asks for it.
    Response { wants_body: bool },
    /// The end of a request that no handler reads, until the deadline.
    Closing { until: Instant },
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An address, over TCP.
    Address(IpAddr),
    /// A process on this machine, over a unix socket. It has no address.
    UnixSocket,
}

/// The state of a connection.
#[derive(Debug)]
pub struct Connection {
    /// `None` if a TCP client has disconnected already.
    peer: Option<Peer>,
    phase: Cell<ConnectionPhase>,
    has_unread_body: Cell<bool>,
    has_sent: Cell<bool>,
    expects_continue: Cell<bool>,
    request_timeout: Duration,
}

impl Connection {
    /// Creates the state of a new connection, whose first request must begin within `request_timeout`.
    pub fn new(peer: Option<Peer>, request_timeout: Duration) -> Self {
        let until = Instant::now() + request_timeout;
        Self {
            peer,
            phase: Cell::new(ConnectionPhase::Idle { until }),
            has_unread_body: Cell::new(false),
            has_sent: Cell::new(false),
            expects_continue: Cell::new(false),
            request_timeout,
        }
    }

    /// Returns the current phase.
    pub fn phase(&self) -> ConnectionPhase {
        self.phase.get()
    }

    /// Returns the deadline of the current phase, if it has one.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase.get() {
            ConnectionPhase::Idle { until } | ConnectionPhase::Head { until } | ConnectionPhase::Closing { until } => {
                Some(until)
            }
            ConnectionPhase::Response { .. } => None,
        }
    }

    /// Returns `true` if a handler reads the request body.
    pub fn wants_body(&self) -> bool {
        self.phase.get() == ConnectionPhase::Response { wants_body: true }
    }

    /// Returns `true` if the server can use further input.
    pub fn wants_input(&self) -> bool {
        self.phase.get() != ConnectionPhase::Response { wants_body: false }
    }

    /// Returns the timeout for a request head, and for a response that the client does not read.
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// Records that bytes arrived. Returns `true` if they start a request head.
    pub fn receive(&self) -> bool {
        let begins = matches!(self.phase.get(), ConnectionPhase::Idle { .. });
        if begins {
            let until = Instant::now() + self.request_timeout;
            self.phase.set(ConnectionPhase::Head { until });
        }
        begins
    }

    /// Closes the connection after the client has had time to read the response.
    pub fn close_soon(&self) {
        let until = Instant::now() + LINGER;
        self.phase.set(ConnectionPhase::Closing { until });
    }

    /// Restarts the deadline of a phase that began while the response was still being sent.
    pub fn finish_sending(&self) {
        match self.phase.get() {
            ConnectionPhase::Idle { .. } => self.wait_for_request(),
            ConnectionPhase::Closing { .. } => self.close_soon(),
            ConnectionPhase::Head { .. } | ConnectionPhase::Response { .. } => {}
        }
    }

    /// Records that the network accepted bytes of a response.
    pub fn record_sent(&self) {
        self.has_sent.set(true);
    }

    /// Returns `true` if the network accepted bytes since the last call.
    pub fn take_sent(&self) -> bool {
        self.has_sent.take()
    }

    /// Records that actix-http is about to write `100 Continue`, which it does before a handler runs.
    pub fn expect_continue(&self) {
        self.expects_continue.set(true);
    }

    /// Returns `true` if `100 Continue` is among the bytes that actix-http writes next.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue.get()
    }

    /// Records that the stream has withheld `100 Continue`.
    pub fn withhold_continue(&self) {
        self.expects_continue.set(false);
    }

    fn wait_for_request(&self) {
        let until = Instant::now() + KEEP_ALIVE;
        self.phase.set(ConnectionPhase::Idle { until });
    }

    fn begin_response(&self, has_body: bool) {
        self.has_unread_body.set(has_body);
        self.phase.set(ConnectionPhase::Response { wants_body: false });
    }

    fn end_response(&self) {
        if self.has_unread_body.get() {
            self.close_soon();
        } else {
            self.wait_for_request();
        }
    }
}

/// Returns the state of a request's connection; `None` for requests that tests construct.
fn connection_of(request: &HttpRequest) -> Option<&Connection> {
    request.conn_data::<Rc<Connection>>().map(Rc::as_ref)
}

/// Returns the other end of the connection of a request; `None` if it has disconnected already.
pub fn peer(request: &HttpRequest) -> Option<Peer> {
    connection_of(request)?.peer
}

/// Allows the connection to read the body of a request.
pub fn read_body(request: &HttpRequest) {
    if let Some(connection) = connection_of(request) {
        connection.phase.set(ConnectionPhase::Response { wants_body: true });
    }
}

/// Records that the body of a request was read to its end.
pub fn finish_body(request: &HttpRequest) {
    if let Some(connection) = connection_of(request) {
        connection.begin_response(false);
    }
}

/// A request and its response. Dropping it marks the response as complete.
#[derive(Debug)]
pub struct Exchange(Option<Rc<Connection>>);

impl Exchange {
    /// Starts an exchange once the request head is complete.
    pub fn begin(request: &ServiceRequest) -> Self {
        let connection = request.conn_data::<Rc<Connection>>().cloned();
        if let Some(connection) = &connection {
            let (_, payload) = request.parts();
            connection.begin_response(!matches!(payload, Payload::None));
        }
        Self(connection)
    }

    /// Returns `true` if the request body was not read. The rest of it cannot be distinguished from the next request.
    pub fn has_unread_body(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|connection| connection.has_unread_body.get())
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.end_response();
        }
    }
}

/// A response body, sent in pieces of at most [`MAX_CHUNK`]. Dropping it ends the exchange.
pub struct ResponseBody {
    body: BoxBody,
    unsent: Bytes,
    _exchange: Exchange,
}

impl ResponseBody {
    /// Wraps the response body of `exchange`.
    pub fn new(body: BoxBody, exchange: Exchange) -> Self {
        Self {
            body,
            unsent: Bytes::new(),
            _exchange: exchange,
        }
    }
}

impl MessageBody for ResponseBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.unsent.is_empty() {
            match ready!(self.body.as_pin_mut().poll_next(context)) {
                Some(Ok(bytes)) => self.unsent = bytes,
                end => return Poll::Ready(end),
            }
        }
        let length = self.unsent.len().min(MAX_CHUNK);
        Poll::Ready(Some(Ok(self.unsent.split_to(length))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[actix_web::test]
    async fn a_large_body_is_sent_in_pieces() {
        let content = vec![b'x'; 3 * MAX_CHUNK + 1];
        let mut body = ResponseBody::new(BoxBody::new(content), Exchange(None));
        let mut lengths = Vec::new();
        while let Some(piece) = poll_fn(|context| Pin::new(&mut body).poll_next(context)).await {
            lengths.push(piece.unwrap().len());
        }
        assert_eq!(lengths, [MAX_CHUNK, MAX_CHUNK, MAX_CHUNK, 1]);
    }
}
