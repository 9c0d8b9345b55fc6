//! `tokenbridge healthcheck`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use socket2::{Domain, SockAddr, Socket, Type};

use super::CliError;
use crate::settings::{ListenAddress, ServeSettings};

/// Timeout of the connection, and of each read and write.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Succeeds if the server responds to `GET /readyz` with 200 on all addresses of the settings.
pub fn run(settings: &ServeSettings) -> Result<(), CliError> {
    settings.listen.iter().try_for_each(|address| check(address, settings))
}

fn check(address: &ListenAddress, settings: &ServeSettings) -> Result<(), CliError> {
    let address = connect_address(address);
    let unhealthy = |what: &str| CliError::Unhealthy(format!("the server at {address} {what}"));
    let stream = connect(&address).map_err(|_| unhealthy("does not accept connections"))?;
    let uses_tls = settings.tls_cert.is_some() && matches!(address, ListenAddress::Tcp(_));
    let status_line = if uses_tls {
        let tls = || {
            let mut connector = SslConnector::builder(SslMethod::tls()).ok()?;
            // The certificate need not name this address, and the request contains no secret.
            connector.set_verify(SslVerifyMode::NONE);
            let config = connector.build().configure().ok()?.verify_hostname(false);
            config.connect("localhost", stream).ok()
        };
        request_readiness(
            tls().ok_or_else(|| unhealthy("does not speak TLS"))?,
            &settings.base_path,
        )
    } else {
        request_readiness(stream, &settings.base_path)
    };
    match status_line {
        Ok(line) if line.starts_with("HTTP/1.1 200 ") => Ok(()),
        Ok(line) => Err(unhealthy(&format!("responded with {:?}", line.trim()))),
        Err(_) => Err(unhealthy("did not respond in time")),
    }
}

fn request_readiness(mut stream: impl Read + Write, base_path: &str) -> std::io::Result<String> {
    write!(
        stream,
        "GET {base_path}/readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut line = String::new();
    BufReader::new(stream.take(1024)).read_line(&mut line)?;
    Ok(line)
}

/// Connects, with timeouts.
fn connect(address: &ListenAddress) -> std::io::Result<Socket> {
    let (domain, address) = match address {
        ListenAddress::Tcp(address) => (Domain::for_address(*address), SockAddr::from(*address)),
        ListenAddress::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.connect_timeout(&address, TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    Ok(socket)
}

/// Returns the address to connect to: the loopback address if the server listens on all addresses.
fn connect_address(listen: &ListenAddress) -> ListenAddress {
    let ListenAddress::Tcp(listen) = listen else {
        return listen.clone();
    };
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    ListenAddress::Tcp(SocketAddr::new(ip, listen.port()))
}
