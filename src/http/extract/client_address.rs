//! The client's address, as reported by trusted proxies.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::HeaderMap;
use ipnet::IpNet;

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
    /// The proxies' own addresses.
    pub trusted: Vec<IpNet>,
    /// The header in which they report the client's address.
    pub header: ProxyHeader,
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
    /// a trusted proxy. If the search meets a malformed or empty entry, the client is unknown.
    #[must_use]
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return Some(client);
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
            client = address?;
            if !self.trusts(client) {
                break;
            }
        }
        Some(client)
    }

    /// Returns `true` if `peer` is a trusted proxy and reports that the client uses HTTPS:
    /// `X-Forwarded-Proto: https`, or `Forwarded: proto=https` (RFC 7239).
    #[must_use]
    pub fn reports_https(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        let scheme = self.nearest(peer, headers, "x-forwarded-proto", "proto");
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
    }

    /// Returns the host and port that the client requested, if `peer` is a trusted proxy and
    /// reports them: `X-Forwarded-Host`, or `Forwarded: host=` (RFC 7239).
    #[must_use]
    pub fn host<'h>(&self, peer: IpAddr, headers: &'h HeaderMap) -> Option<&'h str> {
        self.nearest(peer, headers, "x-forwarded-host", "host")
            .filter(|host| !host.is_empty())
    }

    /// Returns the value that the nearest proxy wrote, if it is trusted: the last entry of the
    /// header `name`, or this parameter of the last element of `Forwarded`.
    fn nearest<'h>(&self, peer: IpAddr, headers: &'h HeaderMap, name: &str, parameter: &str) -> Option<&'h str> {
        let name = match self.header {
            ProxyHeader::XForwardedFor => name,
            ProxyHeader::Forwarded => "forwarded",
        };
        let last = headers.get_all(name).last()?.to_str().ok()?;
        let entry = last.rsplit(',').next().filter(|_| self.trusts(peer.to_canonical()))?;
        match self.header {
            ProxyHeader::XForwardedFor => Some(entry.trim()),
            ProxyHeader::Forwarded => forwarded(parameter, entry),
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|block| block.contains(&address))
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

    fn client(header: ProxyHeader, peer: &str, lines: &[&str]) -> String {
        let proxies = Proxies {
            trusted: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            header,
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            for name in ["x-forwarded-for", "forwarded"] {
                headers.append(name.parse().unwrap(), HeaderValue::from_str(line).unwrap());
            }
        }
        ClientAddress(proxies.client_address(peer.parse().unwrap(), &headers)).to_string()
    }

    #[test]
    fn only_trusted_proxies_set_the_scheme() {
        for (header, peer, line, https) in [
            (ProxyHeader::XForwardedFor, "10.0.0.1", "https", true),
            (ProxyHeader::XForwardedFor, "10.0.0.1", "http, HTTPS", true),
            (ProxyHeader::XForwardedFor, "10.0.0.1", "https, http", false),
            (ProxyHeader::XForwardedFor, "10.0.0.1", "", false),
            (ProxyHeader::XForwardedFor, "192.0.2.1", "https", false),
            (ProxyHeader::Forwarded, "10.0.0.1", "for=192.0.2.7;proto=https", true),
            (ProxyHeader::Forwarded, "10.0.0.1", "proto=https, proto=http", false),
            (ProxyHeader::Forwarded, "192.0.2.1", "proto=https", false),
        ] {
            let proxies = Proxies {
                trusted: vec!["10.0.0.0/8".parse().unwrap()],
                header,
            };
            let mut headers = HeaderMap::new();
            for name in ["x-forwarded-proto", "forwarded"] {
                headers.append(name.parse().unwrap(), HeaderValue::from_str(line).unwrap());
            }
            assert_eq!(
                proxies.reports_https(peer.parse().unwrap(), &headers),
                https,
                "{header:?} {peer} {line}"
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

    proptest! {
        #[test]
        fn clients_cannot_forge_proxy_headers(forged in "[ -~]{0,60}") {
            let line = format!("{forged}, 198.51.100.1");
            prop_assert_eq!(client(ProxyHeader::XForwardedFor, "10.0.0.1", &[&line]), "198.51.100.1");
        }
    }
}
