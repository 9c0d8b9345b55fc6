//! Addresses in flags: of listeners, and of trusted proxies.

use std::{
    fmt,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    os::unix::{ffi::OsStrExt, net::SocketAddr as UnixSocketAddr},
    path::PathBuf,
    str::FromStr,
};

use crate::{domain::cidr::canonical, http::TrustedProxy};

/// Prefix of the path of a unix socket.
const UNIX_PREFIX: &str = "unix:";
/// Maximum length of the path of a unix socket in bytes (`sun_path`, without its NUL).
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// An address that a server listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and a port; port 0 lets the system choose one.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX_PREFIX}{}", path.display()),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix(UNIX_PREFIX) else {
            return parse_socket_address(text)
                .map(Self::Tcp)
                .map_err(|error| format!("{error}, or a unix socket, such as unix:/run/tokenbridge/tokenbridge.sock"));
        };
        let path = PathBuf::from(path);
        if !path.is_absolute() {
            return Err(
                "must have an absolute path after \"unix:\", such as unix:/run/tokenbridge/tokenbridge.sock".to_owned(),
            );
        }
        if UnixSocketAddr::from_pathname(&path).is_err() {
            return Err(format!(
                "the path of a unix socket has at most {MAX_SOCKET_PATH_BYTES} bytes, and this one has {}; use a shorter path",
                path.as_os_str().as_bytes().len()
            ));
        }
        Ok(Self::Unix(path))
    }
}

/// Parses an address and a port.
pub fn parse_socket_address(text: &str) -> Result<SocketAddr, String> {
    text.to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| "must be an address and a port, such as 127.0.0.1:8086 or [::]:8086".to_owned())
}

/// Parses a trusted proxy: an address, a CIDR block, or `unix`.
pub fn parse_trusted_proxy(text: &str) -> Result<TrustedProxy, String> {
    if text == "unix" {
        return Ok(TrustedProxy::UnixSocket);
    }
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(ipnet::IpNet::from))
        .map(|block| TrustedProxy::Block(canonical(block)))
        .map_err(|_| {
            "must be an address or a CIDR block, such as 10.0.0.1 or 10.0.0.0/8, or \"unix\" for the clients of unix \
             sockets"
                .to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_are_printed_as_they_are_written() {
        for text in ["127.0.0.1:8086", "[::]:0", "unix:/run/tokenbridge.sock"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        let long = |length: usize| format!("unix:/{}", "x".repeat(length - 1));
        assert!(long(MAX_SOCKET_PATH_BYTES).parse::<ListenAddress>().is_ok());
        for (text, expected) in [
            (
                long(MAX_SOCKET_PATH_BYTES + 1).as_str(),
                "at most 107 bytes, and this one has 108",
            ),
            ("unix:", "absolute path"),
            ("unix:tokenbridge.sock", "absolute path"),
            ("unix:@tokenbridge", "absolute path"),
            ("/run/tokenbridge.sock", "such as unix:/run"),
            ("8086", "such as 127.0.0.1:8086"),
            ("", "such as 127.0.0.1:8086"),
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
