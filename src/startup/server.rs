//! HTTP servers: workers, and the path from a connection to the application.

use std::{io, net::SocketAddr, num::NonZeroUsize, rc::Rc, sync::Arc, thread::available_parallelism, time::Duration};

use actix_http::{HttpService, KeepAlive, Protocol, Request, error::DispatchError};
use actix_server::{GracefulShutdownSignal, Server};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    App, Error,
    dev::{AppConfig, ServiceRequest, ServiceResponse},
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::sleep,
};

use super::{
    SHUTDOWN_SECONDS,
    listeners::{ListeningSocket, SEND_BUFFER},
    stream::{EarlyResponses, TimedStream, Transport},
    tls::Tls,
    workers::Workers,
};
use crate::http::{
    Limits, Peer,
    connection::{Connection, LINGER, MAX_CHUNK, ResponseBody},
};

/// Maximum number of workers that actix-server supports.
const MAX_WORKERS: usize = 512;

/// Time after the beginning of a shutdown in which connections without a request stay open. A client
/// that is just sending a request gets its response, which closes the connection.
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// Settings of a server.
pub struct ServerConfig {
    /// The listening sockets.
    pub sockets: Vec<ListeningSocket>,
    /// The number of worker threads; one per core by default.
    pub worker_count: Option<NonZeroUsize>,
    /// Maximum number of connections. Further ones wait in the backlog.
    pub max_connections: usize,
    /// Timeouts and size limits.
    pub limits: Limits,
    /// Serves HTTPS on TCP sockets.
    pub tls: Option<Arc<Tls>>,
    /// The workers, which join it.
    pub workers: Workers,
}

/// The service of an [`App`] that a server can run. Implemented for all types that meet the bounds.
pub trait AppService:
    ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<ResponseBody>, Error = Error, InitError = ()>
    + 'static
{
}

impl<T> AppService for T where
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<ResponseBody>,
            Error = Error,
            InitError = (),
        > + 'static
{
}

/// Starts a server for an application.
///
/// # Errors
/// If a socket cannot be used.
pub fn start<A, E>(config: ServerConfig, app: A) -> io::Result<Server>
where
    A: Fn() -> App<E> + Clone + Send + 'static,
    E: AppService,
{
    let ServerConfig {
        sockets,
        worker_count,
        max_connections,
        limits,
        tls,
        workers,
    } = config;
    let worker_count = worker_count
        .or_else(|| available_parallelism().ok())
        .map_or(1, NonZeroUsize::get)
        .min(MAX_WORKERS);
    let mut builder = Server::build()
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .workers(worker_count)
        .max_concurrent_connections((max_connections / worker_count).max(1));
    let connections = Connections {
        app,
        limits,
        tls,
        stopping: builder.graceful_shutdown_signal(),
        workers,
    };
    for socket in sockets {
        let connections = connections.clone();
        builder = match socket {
            ListeningSocket::Tcp(socket) => {
                builder.listen("http", socket, move || connections.service(peer_address))?
            }
            ListeningSocket::Unix(socket) => {
                let peer_of = |_: &UnixStream| Some(Peer::UnixSocket);
                builder.listen_uds("http", socket, move || connections.service(peer_of))?
            }
        };
    }
    Ok(builder.run())
}

/// Creates the service of each worker that serves the connections of one listening socket.
#[derive(Clone)]
struct Connections<A> {
    app: A,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    stopping: GracefulShutdownSignal,
    workers: Workers,
}

impl<A, E> Connections<A>
where
    A: Fn() -> App<E>,
    E: AppService,
{
    fn service<S>(
        &self,
        peer_of: fn(&S) -> Option<Peer>,
    ) -> impl ServiceFactory<S, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<S, A, E>
    where
        S: Into<Transport> + 'static,
    {
        self.workers.join();
        let (request_timeout, tls, stopping) = (self.limits.request_timeout, self.tls.clone(), self.stopping.clone());
        let responses = EarlyResponses::new(self.limits.header_bytes);
        let accept = fn_service(move |stream: S| {
            let (tls, stopping, responses) = (tls.clone(), stopping.clone(), responses.clone());
            let connection = Rc::new(Connection::new(peer_of(&stream), request_timeout));
            async move {
                let transport = handshake(stream.into(), tls.as_deref(), Rc::clone(&connection), stopping).await?;
                Ok((
                    TimedStream::new(transport, connection, responses),
                    Protocol::Http1,
                    None,
                ))
            }
        });
        accept.and_then(http_service(&self.app, self.stopping.clone()))
    }
}

/// Returns the other end of a TCP connection; `None` if it has disconnected already. Its requests are
/// refused.
fn peer_address(stream: &TcpStream) -> Option<Peer> {
    let address = stream.peer_addr().ok()?;
    Some(Peer::Address(address.ip()))
}

/// Completes the TLS handshake, if TLS is enabled. A shutdown aborts an incomplete handshake.
async fn handshake(
    transport: Transport,
    tls: Option<&Tls>,
    connection: Rc<Connection>,
    stopping: GracefulShutdownSignal,
) -> Result<Transport, DispatchError> {
    match (transport, tls) {
        (Transport::Tcp(tcp), Some(tls)) => tokio::select! {
            stream = tls.accept(tcp, connection) => Ok(Transport::Tls(stream.map_err(DispatchError::Io)?)),
            () = drained(stopping) => Err(DispatchError::DisconnectTimeout),
        },
        (Transport::Unix(unix), _) => {
            // Unlike connections over TCP, it does not inherit the size from the listening socket.
            SockRef::from(&unix)
                .set_send_buffer_size(SEND_BUFFER)
                .map_err(DispatchError::Io)?;
            Ok(Transport::Unix(unix))
        }
        (transport, _) => Ok(transport),
    }
}

/// Waits until connections without a request may be closed.
async fn drained(stopping: GracefulShutdownSignal) {
    stopping.notified().await;
    sleep(DRAIN_TIME).await;
}

/// Creates an HTTP/1 service over any kind of stream.
fn http_service<S, A, E>(
    app: &A,
    stopping: GracefulShutdownSignal,
) -> impl ServiceFactory<
    (TimedStream<S>, Protocol, Option<SocketAddr>),
    Config = (),
    Response = (),
    Error = DispatchError,
    InitError = (),
> + use<S, A, E>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    A: Fn() -> App<E>,
    E: AppService,
{
    let app = IntoServiceFactory::<_, Request>::into_factory(app());
    let app = app.map_err(|error: Error| error.error_response());
    HttpService::build()
        // `TimedStream` enforces the timeouts.
        .keep_alive(KeepAlive::Os)
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(LINGER)
        .h1_write_buffer_size(MAX_CHUNK)
        .expect(fn_service(async |request: Request| {
            // `TimedStream` sends `100 Continue` once a handler reads the body.
            if let Some(connection) = request.conn_data::<Rc<Connection>>() {
                connection.expect_continue();
            }
            Ok::<_, Error>(request)
        }))
        .on_connect_ext(|stream: &TimedStream<S>, data| {
            data.insert(Rc::clone(stream.connection()));
        })
        .graceful_shutdown_signal(move || drained(stopping.clone()))
        .finish(map_config(app, |()| AppConfig::default()))
}

#[cfg(test)]
mod tests;
