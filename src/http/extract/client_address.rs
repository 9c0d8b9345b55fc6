//! The client's address, as reported by trusted proxies.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::HeaderMap;
use ipnet::IpNet;

use crate::http::connection::Peer;

/// The client's address, if known, as a request extension.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub Option<IpAddr>);

impl std::fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

/// The trusted proxies, and the header in which they report the client's address.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// The proxies.
    pub trusted: Vec<TrustedProxy>,
    /// The header in which they report the client's address.
    pub header: ProxyHeader,
}

/// Proxies whose headers are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedProxy {
    /// Those at the addresses of a block.
    Block(IpNet),
    /// Those that connect to a unix socket.
    UnixSocket,
}

/// The header in which proxies report the client's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ProxyHeader {
    /// `X-Forwarded-For: client, proxy, …`
    #[default]
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy, …` (RFC 7239).
    Forwarded,
}

impl Proxies {
    /// Returns the address of the client behind `peer`: the first entry from the right that is not
    /// a trusted proxy. The client is unknown if the search meets a malformed or empty entry, or
    /// ends at a unix socket.
    #[must_use]
    pub fn client_address(&self, peer: Peer, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = peer;
        if !self.trusts(client) {
            return known_address(client);
        }
        let name = match self.header {
            ProxyHeader::XForwardedFor => "x-forwarded-for",
            ProxyHeader::Forwarded => "forwarded",
        };
        let lines: Vec<&str> = headers
            .get_all(name)
            .map(|line| line.to_str().unwrap_or_default())
            .collect();
        for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            let address = match self.header {
                ProxyHeader::XForwardedFor => parse_node(entry.trim()),
                ProxyHeader::Forwarded => forwarded("for", entry).and_then(parse_node),
            };
            client = Peer::Address(address?);
            if !self.trusts(client) {
                break;
            }
        }
        known_address(client)
    }

    /// Returns `true` if `peer` is a trusted proxy and reports that the client uses HTTPS:
    /// `X-Forwarded-Proto: https`, or `Forwarded: proto=https` (RFC 7239).
    #[must_use]
    pub fn reports_https(&self, peer: Peer, headers: &HeaderMap) -> bool {
        let scheme = self.nearest(peer, headers, "x-forwarded-proto", "proto");
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
    }

    /// Returns the host and port that the client requested, if `peer` is a trusted proxy and
    /// reports them: `X-Forwarded-Host`, or `Forwarded: host=` (RFC 7239).
    #[must_use]
    pub fn host<'h>(&self, peer: Peer, headers: &'h HeaderMap) -> Option<&'h str> {
        self.nearest(peer, headers, "x-forwarded-host", "host")
            .filter(|host| !host.is_empty())
    }

    /// Returns the value that the nearest proxy wrote, if it is trusted: the last entry of the
    /// header `name`, or this parameter of the last element of `Forwarded`.
    fn nearest<'h>(&self, peer: Peer, headers: &'h HeaderMap, name: &str, parameter: &str) -> Option<&'h str> {
        let name = match self.header {
            ProxyHeader::XForwardedFor => name,
            ProxyHeader::Forwarded => "forwarded",
        };
        let last = headers.get_all(name).last()?.to_str().ok()?;
        let entry = last.rsplit(',').next().filter(|_| self.trusts(peer))?;
        match self.header {
            ProxyHeader::XForwardedFor => Some(entry.trim()),
            ProxyHeader::Forwarded => forwarded(parameter, entry),
        }
    }

    fn trusts(&self, peer: Peer) -> bool {
        self.trusted.iter().any(|proxy| match (proxy, peer) {
            (TrustedProxy::Block(block), Peer::Address(address)) => block.contains(&address.to_canonical()),
            (TrustedProxy::UnixSocket, Peer::UnixSocket) => true,
            (TrustedProxy::Block(_), Peer::UnixSocket) | (TrustedProxy::UnixSocket, Peer::Address(_)) => false,
        })
    }
}

/// Returns the address of a peer, if it has one.
fn known_address(peer: Peer) -> Option<IpAddr> {
    match peer {
        Peer::Address(address) => Some(address.to_canonical()),
        Peer::UnixSocket => None,
    }
}

/// Returns the value of a parameter in one element of `Forwarded`, without quotes.
fn forwarded<'e>(parameter: &str, element: &'e str) -> Option<&'e str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case(parameter)
            .then(|| value.trim().trim_matches('"'))
    })
}

/// Parses an address, with an optional port, and for IPv6 with optional brackets.
fn parse_node(node: &str) -> Option<IpAddr> {
    let bracketed = node.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bracketed {
        Some(inner) => inner.parse().ok(),
        None => node
            .parse()
            .ok()
            .or_else(|| node.parse::<SocketAddr>().ok().map(|socket| socket.ip())),
    };
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    fn block(text: &str) -> TrustedProxy {
        TrustedProxy::Block(text.parse().unwrap())
    }

    fn peer(text: &str) -> Peer {
        match text {
            "unix" => Peer::UnixSocket,
            address => Peer::Address(address.parse().unwrap()),
        }
    }

    fn client(header: ProxyHeader, from: &str, lines: &[&str]) -> String {
        let proxies = Proxies {
            trusted: vec![block("10.0.0.0/8"), block("::1/128"), TrustedProxy::UnixSocket],
            header,
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            for name in ["x-forwarded-for", "forwarded"] {
                headers.append(name.parse().unwrap(), HeaderValue::from_str(line).unwrap());
            }
        }
        ClientAddress(proxies.client_address(peer(from), &headers)).to_string()
    }

    #[test]
    fn only_trusted_proxies_set_the_scheme() {
        for (header, from, line, https) in [
            (ProxyHeader::XForwardedFor, "10.0.0.1", "https", true),
            (ProxyHeader::XForwardedFor, "unix", "https", false),
            (ProxyHeader::XForwardedFor, "10.0.0.1", "http, HTTPS", true),
            (ProxyHeader::XForwardedFor, "10.0.0.1", "https, http", false),
            (ProxyHeader::XForwardedFor, "10.0.0.1", "", false),
            (ProxyHeader::XForwardedFor, "192.0.2.1", "https", false),
            (ProxyHeader::Forwarded, "10.0.0.1", "for=192.0.2.7;proto=https", true),
            (ProxyHeader::Forwarded, "10.0.0.1", "proto=https, proto=http", false),
            (ProxyHeader::Forwarded, "192.0.2.1", "proto=https", false),
        ] {
            let proxies = Proxies {
                trusted: vec![block("10.0.0.0/8")],
                header,
            };
            let mut headers = HeaderMap::new();
            for name in ["x-forwarded-proto", "forwarded"] {
                headers.append(name.parse().unwrap(), HeaderValue::from_str(line).unwrap());
            }
            assert_eq!(
                proxies.reports_https(peer(from), &headers),
                https,
                "{header:?} {from} {line}"
            );
        }
    }

    #[test]
    fn x_forwarded_for_is_read_from_the_right() {
        for (peer, lines, found) in [
            ("192.0.2.1", &["198.51.100.1"][..], "192.0.2.1"),
            ("10.0.0.1", &[][..], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"][..], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.9, 198.51.100.1, 10.0.0.2"][..], "198.51.100.1"),
            (
                "10.0.0.1",
                &["203.0.113.9", "198.51.100.1", "10.0.0.2"][..],
                "198.51.100.1",
            ),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.1"][..], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1, unknown, 10.0.0.2"][..], "unknown"),
            ("10.0.0.1", &["198.51.100.1", "unknown", "10.0.0.2"][..], "unknown"),
            ("10.0.0.1", &["unknown, 198.51.100.1, 10.0.0.2"][..], "198.51.100.1"),
            ("10.0.0.1", &["garbage"][..], "unknown"),
            ("10.0.0.1", &[""][..], "unknown"),
            ("10.0.0.1", &["198.51.100.1,"][..], "unknown"),
            ("10.0.0.1", &["198.51.100.1,, 10.0.0.2"][..], "unknown"),
            ("10.0.0.1", &["198.51.100.1", "", "10.0.0.2"][..], "unknown"),
            ("10.0.0.1", &["010.0.0.2"][..], "unknown"),
            ("10.0.0.1", &["[198.51.100.1]"][..], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::7]"][..], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]:"][..], "unknown"),
            ("10.0.0.1", &["198.51.100.1:99999"][..], "unknown"),
            ("192.0.2.1", &["garbage"][..], "192.0.2.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"][..], "10.0.0.3"),
            ("::1", &["2001:db8::7"][..], "2001:db8::7"),
            ("unix", &["198.51.100.1"][..], "198.51.100.1"),
            ("unix", &["203.0.113.9, 198.51.100.1, 10.0.0.2"][..], "198.51.100.1"),
            ("unix", &["unix:"][..], "unknown"),
            ("unix", &[][..], "unknown"),
            ("10.0.0.1", &["198.51.100.1:4711"][..], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::7]:4711"][..], "2001:db8::7"),
        ] {
            assert_eq!(
                client(ProxyHeader::XForwardedFor, peer, lines),
                found,
                "{peer} {lines:?}"
            );
        }
    }

    #[test]
    fn forwarded_is_read_from_the_right() {
        for (lines, found) in [
            (&["for=198.51.100.1;proto=https, for=10.0.0.2"][..], "198.51.100.1"),
            (&["For=\"[2001:db8::7]:4711\""][..], "2001:db8::7"),
            (&["for=198.51.100.1, for=_hidden"][..], "unknown"),
            (&["for=198.51.100.1, for=unknown, for=10.0.0.2"][..], "unknown"),
            (&["for=\"_hidden:80\""][..], "unknown"),
            (&["proto=https;by=10.0.0.9"][..], "unknown"),
            (&["for=198.51.100.1,"][..], "unknown"),
        ] {
            assert_eq!(client(ProxyHeader::Forwarded, "10.0.0.1", lines), found, "{lines:?}");
        }
    }

    #[test]
    fn clients_of_a_unix_socket_are_unknown_unless_it_is_trusted() {
        let proxies = Proxies {
            trusted: vec![block("0.0.0.0/0"), block("::/0")],
            header: ProxyHeader::XForwardedFor,
        };
        let mut headers = HeaderMap::new();
        for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"] {
            headers.append(name.parse().unwrap(), HeaderValue::from_static("198.51.100.1"));
        }
        assert_eq!(proxies.client_address(Peer::UnixSocket, &headers), None);
        assert_eq!(proxies.host(Peer::UnixSocket, &headers), None);
        assert_eq!(proxies.host(peer("192.0.2.1"), &headers), Some("198.51.100.1"));
    }

    proptest! {
        #[test]
        fn clients_cannot_forge_proxy_headers(forged in "[ -~]{0,60}") {
            let line = format!("{forged}, 198.51.100.1");
            prop_assert_eq!(client(ProxyHeader::XForwardedFor, "10.0.0.1", &[&line]), "198.51.100.1");
        }
    }
}
