//! The stream of a connection, with timeouts for every request on it.
//!
//! actix-http limits only the time until the first request head. After the first byte of a later
//! head it waits forever, it reads an unwanted body to its end, and it waits forever for a client
//! that does not read. This stream sits below actix-http and closes all three gaps: a timeout looks
//! like a client that closes the connection.

mod transport;

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::web::{Bytes, BytesMut};
use memchr::memmem;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::http::connection::{Connection, ConnectionPhase};
pub use transport::{Encrypted, Transport};

/// Number of bytes over the header limit that still reach the application, which responds in the
/// route's own format. Beyond that, the stream refuses the head itself.
const HEAD_SLACK: usize = 8 * 1024;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// The interim response to `Expect: 100-continue` (RFC 9110, section 10.1.1), as actix-http writes it.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Responses that the stream itself sends, because no request reaches the application.
#[derive(Clone)]
pub struct EarlyResponses {
    max_head_bytes: usize,
    timeout: Bytes,
    too_large: Bytes,
}

impl EarlyResponses {
    /// Creates the responses of a server that accepts `max_header_bytes` of request line and
    /// headers.
    pub fn new(max_header_bytes: usize) -> Self {
        let response = |status: &str, message: &str| {
            let body = format!(r#"{{"message":"{message}"}}"#);
            let length = body.len();
            Bytes::from(format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: \
                    close\r\n\r\n{body}"
            ))
        };
        Self {
            max_head_bytes: max_header_bytes + HEAD_SLACK,
            timeout: response("408 Request Timeout", "the request did not arrive in time"),
            too_large: response(
                "431 Request Header Fields Too Large",
                &format!("the request line and headers have more than {max_header_bytes} bytes"),
            ),
        }
    }
}

/// Progress of the current request head.
#[derive(Default)]
struct Head {
    bytes: usize,
    is_complete: bool,
    is_parsed: bool,
    /// `true` if the client waits for `100 Continue`.
    withholds_continue: bool,
}

/// A stream that ends when a deadline of its [`Connection`] passes.
pub struct TimedStream<S> {
    stream: S,
    connection: Rc<Connection>,
    responses: EarlyResponses,
    timer: Pin<Box<Sleep>>,
    /// The write deadline, while the client does not read.
    blocked_until: Option<Instant>,
    head: Head,
    /// Bytes that arrived together with the preceding head. actix-http would parse all requests in
    /// its buffer at once, at several kilobytes each, so it gets one head at a time.
    rest: BytesMut,
    has_skipped_read: bool,
    has_woken: bool,
    is_refused: bool,
    /// The rest of an interim response that is being written.
    interim: &'static [u8],
}

impl<S: AsyncRead + AsyncWrite + Unpin> TimedStream<S> {
    /// Wraps the stream of a new connection.
    pub fn new(stream: S, connection: Rc<Connection>, responses: EarlyResponses) -> Self {
        let deadline = connection.deadline().unwrap_or_else(Instant::now);
        Self {
            stream,
            connection,
            responses,
            timer: Box::pin(sleep_until(deadline)),
            blocked_until: None,
            head: Head::default(),
            rest: BytesMut::new(),
            has_skipped_read: false,
            has_woken: false,
            is_refused: false,
            interim: &[],
        }
    }

    /// Returns the state that is shared with the application.
    pub fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// Waits until `deadline`. Resets the timer only if it would fire too late or has fired: a
    /// reset per request costs more.
    fn poll_until(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(deadline);
        }
    }

    /// Waits until the client has not read for the request timeout.
    fn poll_blocked(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let timeout = self.connection.request_timeout();
            let until = *self.blocked_until.get_or_insert_with(|| {
                self.connection.take_sent();
                Instant::now() + timeout
            });
            ready!(self.poll_until(until, context));
            if !self.connection.take_sent() {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            self.blocked_until = None;
        }
    }

    fn unblock(&mut self) {
        if self.blocked_until.take().is_some() {
            self.connection.finish_sending();
        }
    }

    fn can_read(&self) -> bool {
        self.blocked_until.is_none() && self.connection.wants_input()
    }

    /// Sends a response without a request, and ignores further input.
    fn refuse(&mut self, response: &Bytes, context: &mut Context<'_>) {
        // Best effort: the client may have disconnected.
        let _ = Pin::new(&mut self.stream).poll_write(context, response);
        self.is_refused = true;
        self.connection.close_soon();
    }

    /// Returns the position of a `100 Continue` that actix-http writes, if it is among `bytes`. It is withheld until a
    /// handler reads the body, so that a client that is refused does not send it.
    fn find_continue(&self, bytes: &[u8]) -> Option<usize> {
        self.connection
            .expects_continue()
            .then(|| memmem::find(bytes, CONTINUE))
            .flatten()
    }

    /// Writes an interim response to its end.
    fn poll_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.interim.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, self.interim))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.interim = self.interim.get(written..).unwrap_or_default();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads buffered bytes first, then from the network.
    fn poll_bytes(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest.split_to(length));
        if self.rest.is_empty() {
            // Free the buffer, so that an idle connection does not keep it.
            self.rest = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Buffers the bytes after a complete head.
    fn split_head(&mut self, buffer: &mut ReadBuf<'_>, filled: usize) {
        if !matches!(self.connection.phase(), ConnectionPhase::Head { .. }) {
            return;
        }
        let (_, read) = buffer.filled().split_at(filled);
        let Some(end) = memmem::find(read, HEAD_END).map(|start| start + HEAD_END.len()) else {
            return;
        };
        if end < read.len() {
            let (_, rest) = read.split_at(end);
            let mut kept = BytesMut::with_capacity(rest.len() + self.rest.len());
            kept.extend_from_slice(rest);
            kept.extend_from_slice(&self.rest);
            self.rest = kept;
            self.head.is_complete = true;
            buffer.set_filled(filled + end);
        }
    }

    /// Reads, or ends the stream when its deadline has passed.
    fn poll_input(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        loop {
            // A client that sends continuously must not keep the connection open.
            if let ConnectionPhase::Closing { until } = self.connection.phase()
                && Instant::now() >= until
            {
                return Poll::Ready(Ok(()));
            }
            match self.poll_bytes(context, buffer) {
                Poll::Ready(Ok(())) => {
                    let length = buffer.filled().len() - filled;
                    if self.is_refused && length > 0 {
                        buffer.set_filled(filled);
                        continue;
                    }
                    if length > 0 && self.connection.receive() {
                        self.head = Head::default();
                    }
                    self.head.bytes += length;
                    self.split_head(buffer, filled);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(error) => return Poll::Ready(error),
                Poll::Pending => {}
            }
            let Some(deadline) = self.connection.deadline() else {
                return Poll::Pending;
            };
            ready!(self.poll_until(deadline, context));
            if !matches!(self.connection.phase(), ConnectionPhase::Head { .. }) {
                return Poll::Ready(Ok(()));
            }
            let response = self.responses.timeout.clone();
            self.refuse(&response, context);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.has_woken = false;
        self.has_skipped_read = !self.can_read();
        if self.has_skipped_read {
            return Poll::Pending;
        }
        if matches!(self.connection.phase(), ConnectionPhase::Head { .. }) {
            let is_too_large = self.head.bytes > self.responses.max_head_bytes;
            if (is_too_large || self.head.is_complete) && !self.head.is_parsed {
                // On `Pending`, actix-http parses its buffer, which may contain a complete head.
                self.head.is_parsed = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if is_too_large {
                let response = self.responses.too_large.clone();
                self.refuse(&response, context);
            }
        }
        self.poll_input(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(context))?;
        let bytes = match self.find_continue(bytes) {
            None => bytes,
            Some(0) => {
                self.connection.withhold_continue();
                self.head.withholds_continue = true;
                return Poll::Ready(Ok(CONTINUE.len()));
            }
            // The rest of an earlier response comes first.
            Some(start) => bytes.get(..start).unwrap_or(bytes),
        };
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.poll_blocked(context).map(Err),
            written @ Poll::Ready(_) => {
                self.unblock();
                written
            }
        }
    }

    /// actix-http calls this at the end of each iteration, so the timers for state that changed in
    /// it are set here.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_skipped_read && self.can_read() {
            self.has_skipped_read = false;
            context.waker().wake_by_ref();
        }
        if let Some(deadline) = self.connection.deadline()
            && !self.has_woken
            && self.poll_until(deadline, context).is_ready()
        {
            self.has_woken = true;
            context.waker().wake_by_ref();
        }
        if self.connection.wants_body() && std::mem::take(&mut self.head.withholds_continue) {
            self.interim = CONTINUE;
        }
        ready!(self.poll_interim(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.poll_blocked(context).map(Err),
            shut_down @ Poll::Ready(_) => shut_down,
        }
    }
}
