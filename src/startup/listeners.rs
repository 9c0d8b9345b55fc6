//! Listening sockets: bound to the addresses of `--listen`, or inherited from the service manager.

mod unix;

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixSocketAddr, UnixListener},
    },
    path::PathBuf,
};

use listenfd::ListenFd;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::StartError;
use crate::settings::ListenAddress;
pub use unix::SocketFile;

/// Maximum number of connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Size of the kernel's send buffer per connection. Without a limit, the kernel buffers megabytes
/// for a client that does not read.
pub const SEND_BUFFER: usize = 64 * 1024;

/// The first file descriptor that a service manager passes (`SD_LISTEN_FDS_START`).
const FIRST_INHERITED: usize = 3;

/// The listening sockets of a server.
#[derive(Default)]
pub struct Listeners {
    /// The sockets.
    pub sockets: Vec<ListeningSocket>,
    /// The addresses of the sockets, with the actual ports.
    pub addresses: Vec<ListenAddress>,
    /// The files of the unix sockets that this process has bound.
    pub files: Vec<SocketFile>,
}

/// The kinds of listening sockets.
pub enum ListeningSocket {
    /// TCP.
    Tcp(TcpListener),
    /// A unix stream socket.
    Unix(UnixListener),
}

impl Listeners {
    /// Binds sockets.
    ///
    /// # Errors
    /// If an address is in use, or cannot be used.
    pub fn bind(addresses: &[ListenAddress]) -> Result<Self, StartError> {
        let mut listeners = Self::default();
        for address in addresses {
            let bound = match address {
                ListenAddress::Tcp(address) => bind_tcp(*address).map(ListeningSocket::Tcp),
                ListenAddress::Unix(path) => unix::bind(path).map(|(socket, file)| {
                    listeners.files.push(file);
                    ListeningSocket::Unix(socket)
                }),
            };
            let added = bound.and_then(|socket| listeners.add(socket));
            added.map_err(|error| StartError::Bind(address.clone(), error))?;
        }
        Ok(listeners)
    }

    /// Returns the sockets that the service manager has passed (`LISTEN_FDS`), and removes its
    /// variables from the environment. Call this before threads start, which may read them.
    ///
    /// # Errors
    /// If one of them is no listening stream socket.
    pub fn inherit() -> Result<Self, StartError> {
        let mut passed = ListenFd::from_env();
        let mut listeners = Self::default();
        for index in 0..passed.len() {
            let added = take_inherited(&mut passed, index).and_then(|socket| listeners.add(socket));
            added.map_err(|error| StartError::Inherited(FIRST_INHERITED + index, error))?;
        }
        Ok(listeners)
    }

    fn add(&mut self, socket: ListeningSocket) -> io::Result<()> {
        self.addresses.push(match &socket {
            ListeningSocket::Tcp(socket) => ListenAddress::Tcp(socket.local_addr()?),
            ListeningSocket::Unix(socket) => ListenAddress::Unix(path_of(&socket.local_addr()?)),
        });
        self.sockets.push(socket);
        Ok(())
    }
}

/// Takes the socket at an index among those that the service manager has passed.
fn take_inherited(passed: &mut ListenFd, index: usize) -> io::Result<ListeningSocket> {
    let socket = match passed.take_tcp_listener(index) {
        Ok(Some(socket)) => ListeningSocket::Tcp(socket),
        Ok(None) | Err(_) => match passed.take_unix_listener(index)? {
            Some(socket) => ListeningSocket::Unix(socket),
            None => return Err(ErrorKind::NotFound.into()),
        },
    };
    let socket_ref = match &socket {
        ListeningSocket::Tcp(socket) => SockRef::from(socket),
        ListeningSocket::Unix(socket) => SockRef::from(socket),
    };
    if !socket_ref.is_listener()? {
        return Err(io::Error::other("the socket is not listening"));
    }
    if matches!(socket, ListeningSocket::Tcp(_)) {
        set_tcp_options(&socket_ref)?;
    }
    Ok(socket)
}

/// Binds a TCP socket.
///
/// # Errors
/// If the address is in use, or cannot be used.
pub fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    set_tcp_options(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets the options that accepted connections inherit.
fn set_tcp_options(socket: &Socket) -> io::Result<()> {
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_nodelay(true)
}

/// Returns the path of a unix socket; for one in the abstract namespace, its name after an `@`.
fn path_of(address: &UnixSocketAddr) -> PathBuf {
    let abstract_name = || {
        let name = address.as_abstract_name().unwrap_or_default();
        PathBuf::from(format!("@{}", String::from_utf8_lossy(name)))
    };
    address.as_pathname().map_or_else(abstract_name, Into::into)
}
