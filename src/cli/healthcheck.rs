//! `tokenbridge healthcheck`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};

use super::CliError;
use crate::settings::ServeSettings;

/// Timeout of the connection, and of each read and write.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Succeeds if the server responds to `GET /readyz` with 200.
pub fn run(settings: &ServeSettings) -> Result<(), CliError> {
    let address = connect_address(settings.listen);
    let unhealthy = |what: &str| CliError::Unhealthy(format!("the server at {address} {what}"));
    let stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(|_| unhealthy("does not accept connections"))?;
    stream
        .set_read_timeout(Some(TIMEOUT))
        .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)))
        .map_err(|error| CliError::Io("cannot set a timeout".to_owned(), error))?;
    let status_line = if settings.tls_cert.is_some() {
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

/// Returns the address to connect to: the loopback address if the server listens on all addresses.
fn connect_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
