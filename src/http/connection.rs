//! The state of a connection, shared by its stream and the requests that arrive on it.
//!
//! The stream (`startup::stream`) enforces the timeouts. It cannot see where a request ends and its response begins, so the
//! middleware reports that here, and the stream reads it.

use std::{
    cell::Cell,
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

/// How long a connection may wait for its next request.
pub const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How long a connection that is about to be closed still takes what the client sends. Closing at once would reset the
/// connection, and the client could lose the response.
pub const LINGER: Duration = Duration::from_secs(1);

/// Maximum size of a piece of a response body. A body is copied into the write buffer piece by piece, so that a client that does
/// not read holds one piece and not the whole body.
pub const MAX_PIECE: usize = 16 * 1024;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first byte of a request, until then.
    Idle { until: Instant },
    /// The rest of a request head, until then.
    Head { until: Instant },
    /// The response. The request body is read only while a handler asks for it.
    Response { wants_body: bool },
    /// The end of a request that nothing reads, until then.
    Closing { until: Instant },
}

/// The state of a connection.
#[derive(Debug)]
pub struct Connection {
    phase: Cell<Phase>,
    has_unread_body: Cell<bool>,
    has_sent: Cell<bool>,
    request_timeout: Duration,
}

impl Connection {
    /// A new connection, whose first request has `request_timeout` to begin.
    pub fn new(request_timeout: Duration) -> Self {
        let until = Instant::now() + request_timeout;
        Self {
            phase: Cell::new(Phase::Idle { until }),
            has_unread_body: Cell::new(false),
            has_sent: Cell::new(false),
            request_timeout,
        }
    }

    /// Returns the phase that the connection is in.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Returns the time at which the current phase ends, if it has a limit.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase.get() {
            Phase::Idle { until } | Phase::Head { until } | Phase::Closing { until } => Some(until),
            Phase::Response { .. } => None,
        }
    }

    /// Returns `true` if the server can use what the client sends next.
    pub fn wants_input(&self) -> bool {
        self.phase.get() != Phase::Response { wants_body: false }
    }

    /// Returns the timeout for a request head, and for a response of which the client takes nothing.
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// Records that bytes arrived. Returns `true` if they begin a request head.
    pub fn receive(&self) -> bool {
        let begins = matches!(self.phase.get(), Phase::Idle { .. });
        if begins {
            let until = Instant::now() + self.request_timeout;
            self.phase.set(Phase::Head { until });
        }
        begins
    }

    /// Closes the connection once the client has had time to read the response.
    pub fn close_soon(&self) {
        let until = Instant::now() + LINGER;
        self.phase.set(Phase::Closing { until });
    }

    /// Restarts the clock of a phase that began while the response was still being sent.
    pub fn finish_sending(&self) {
        match self.phase.get() {
            Phase::Idle { .. } => self.wait_for_request(),
            Phase::Closing { .. } => self.close_soon(),
            Phase::Head { .. } | Phase::Response { .. } => {}
        }
    }

    /// Records that the network took bytes of a response.
    pub fn record_sent(&self) {
        self.has_sent.set(true);
    }

    /// Returns `true` if the network took bytes since the last call.
    pub fn take_sent(&self) -> bool {
        self.has_sent.take()
    }

    fn wait_for_request(&self) {
        let until = Instant::now() + KEEP_ALIVE;
        self.phase.set(Phase::Idle { until });
    }

    fn begin_response(&self, has_body: bool) {
        self.has_unread_body.set(has_body);
        self.phase.set(Phase::Response { wants_body: false });
    }

    fn end_response(&self) {
        if self.has_unread_body.get() {
            self.close_soon();
        } else {
            self.wait_for_request();
        }
    }
}

/// Returns the state of the connection that a request arrived on. A request that a test makes up has none.
fn of(request: &HttpRequest) -> Option<&Connection> {
    request.conn_data::<Rc<Connection>>().map(Rc::as_ref)
}

/// Lets the connection read the body of a request.
pub fn read_body(request: &HttpRequest) {
    if let Some(connection) = of(request) {
        connection.phase.set(Phase::Response { wants_body: true });
    }
}

/// Records that the body of a request was read to its end.
pub fn finish_body(request: &HttpRequest) {
    if let Some(connection) = of(request) {
        connection.begin_response(false);
    }
}

/// A request and its response: as long as it exists, the connection works on them.
#[derive(Debug)]
pub struct Exchange(Option<Rc<Connection>>);

impl Exchange {
    /// Begins when the head of a request is complete.
    pub fn begin(request: &ServiceRequest) -> Self {
        let connection = request.conn_data::<Rc<Connection>>().cloned();
        if let Some(connection) = &connection {
            let (_, payload) = request.parts();
            connection.begin_response(!matches!(payload, Payload::None));
        }
        Self(connection)
    }

    /// Returns `true` if nothing read the body of the request: what follows on the connection cannot be told from it.
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

/// The body of a response, sent in pieces of at most [`MAX_PIECE`]. Its end is the end of the exchange.
pub struct ResponseBody {
    body: BoxBody,
    unsent: Bytes,
    _exchange: Exchange,
}

impl ResponseBody {
    /// The body of the response of `exchange`.
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
        let length = self.unsent.len().min(MAX_PIECE);
        Poll::Ready(Some(Ok(self.unsent.split_to(length))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[actix_web::test]
    async fn a_large_body_is_sent_in_pieces() {
        let content = vec![b'x'; 3 * MAX_PIECE + 1];
        let mut body = ResponseBody::new(BoxBody::new(content), Exchange(None));
        let mut lengths = Vec::new();
        while let Some(piece) = poll_fn(|context| Pin::new(&mut body).poll_next(context)).await {
            lengths.push(piece.unwrap().len());
        }
        assert_eq!(lengths, [MAX_PIECE, MAX_PIECE, MAX_PIECE, 1]);
    }
}
