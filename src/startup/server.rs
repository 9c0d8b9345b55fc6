//! HTTP servers: sockets, workers, and the path from a connection to the application.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    rc::Rc,
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};

use actix_http::{HttpService, KeepAlive, Protocol, Request, error::DispatchError};
use actix_server::{GracefulShutdownSignal, Server};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    App, Error,
    dev::{AppConfig, ServiceRequest, ServiceResponse},
};
use socket2::{Domain, Protocol as SocketProtocol, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    SHUTDOWN_SECONDS, StartError,
    stream::{EarlyResponses, TimedStream, Transport},
    tls::Tls,
};
use crate::http::{
    Limits,
    connection::{Connection, LINGER, MAX_CHUNK, ResponseBody},
};

/// Maximum number of connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Size of the kernel's send buffer per connection. Without a limit, the kernel buffers megabytes
/// for a client that does not read.
const SEND_BUFFER: usize = 64 * 1024;

/// Maximum number of workers that actix-server supports.
const MAX_WORKERS: usize = 512;

/// Listener settings of a server.
pub struct ListenerConfig {
    /// The address; port 0 lets the system choose one.
    pub address: SocketAddr,
    /// The number of worker threads; one per core by default.
    pub workers: Option<NonZeroUsize>,
    /// Maximum number of connections. Further ones wait in the backlog.
    pub max_connections: usize,
    /// Timeouts and size limits.
    pub limits: Limits,
    /// Serves HTTPS.
    pub tls: Option<Arc<Tls>>,
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

/// Starts a server for an application. Returns it with its local address.
///
/// # Errors
/// If the address is already in use.
pub fn start<A, E>(listener_config: ListenerConfig, app: A) -> Result<(Server, SocketAddr), StartError>
where
    A: Fn() -> App<E> + Clone + Send + 'static,
    E: AppService,
{
    let ListenerConfig {
        address,
        workers,
        max_connections,
        limits,
        tls,
    } = listener_config;
    let bind_error = |error| StartError::Bind(address, error);
    let listener = listen(address).map_err(bind_error)?;
    let address = listener.local_addr().map_err(bind_error)?;
    let workers = workers
        .or_else(|| available_parallelism().ok())
        .map_or(1, NonZeroUsize::get)
        .min(MAX_WORKERS);
    let builder = Server::build()
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .workers(workers)
        .max_concurrent_connections((max_connections / workers).max(1));
    let stopping = builder.graceful_shutdown_signal();
    let connections = move || {
        let tls = tls.clone();
        let (accept_stopping, http_stopping) = (stopping.clone(), stopping.clone());
        let responses = EarlyResponses::new(limits.header_bytes);
        let accept = fn_service(move |tcp: TcpStream| {
            let (tls, stopping, responses) = (tls.clone(), accept_stopping.clone(), responses.clone());
            async move {
                // The peer address is missing if the client has already disconnected; its requests
                // are refused.
                let peer = tcp.peer_addr().ok();
                let connection = Rc::new(Connection::new(limits.request_timeout));
                let transport = transport(tcp, tls.as_deref(), Rc::clone(&connection), stopping).await?;
                Ok((
                    TimedStream::new(transport, connection, responses),
                    Protocol::Http1,
                    peer,
                ))
            }
        });
        accept.and_then(http_service(&app, address, http_stopping))
    };
    let builder = builder.listen("http", listener, connections).map_err(bind_error)?;
    Ok((builder.run(), address))
}

/// Binds a listening socket. Accepted connections inherit its options.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(SocketProtocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Completes the TLS handshake, if TLS is enabled. A shutdown aborts an incomplete handshake.
async fn transport(
    tcp: TcpStream,
    tls: Option<&Tls>,
    connection: Rc<Connection>,
    stopping: GracefulShutdownSignal,
) -> Result<Transport, DispatchError> {
    let Some(tls) = tls else {
        return Ok(Transport::Plain(tcp));
    };
    tokio::select! {
        stream = tls.accept(tcp, connection) => Ok(Transport::Tls(stream.map_err(DispatchError::Io)?)),
        () = stopping.notified() => Err(DispatchError::DisconnectTimeout),
    }
}

/// Creates an HTTP/1 service over any kind of stream.
fn http_service<S, A, E>(
    app: &A,
    address: SocketAddr,
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
        .local_addr(address)
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
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .finish(map_config(app, |()| AppConfig::default()))
}

#[cfg(test)]
mod tests;
