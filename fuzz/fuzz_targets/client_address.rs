//! Fuzzes the client address behind trusted proxies. The first byte selects the header; each
//! further line is one header field.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use tokenbridge::http::{Proxies, ProxyHeader, TrustedProxy, fuzz};

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else {
        return;
    };
    let header = match choice % 2 {
        0 => ProxyHeader::XForwardedFor,
        _ => ProxyHeader::Forwarded,
    };
    let trusted = ["10.0.0.0/8", "::1/128"]
        .into_iter()
        .filter_map(|block| block.parse().ok().map(TrustedProxy::Block));
    let proxies = Proxies {
        trusted: trusted.collect(),
        header,
    };
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let (proxy, stranger) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
    // Entries from an untrusted client are ignored; the entry that the last trusted proxy appends wins.
    assert_eq!(fuzz::client_address(&proxies, stranger, &lines), Some(stranger));
    let appended: &[u8] = match header {
        ProxyHeader::XForwardedFor => b"198.51.100.7",
        ProxyHeader::Forwarded => b"for=198.51.100.7",
    };
    let lines: Vec<&[u8]> = lines.into_iter().chain([appended]).collect();
    assert_eq!(
        fuzz::client_address(&proxies, proxy, &lines),
        Some(IpAddr::from([198, 51, 100, 7]))
    );
    let _ = fuzz::client_address(&proxies, proxy, &lines[..lines.len() - 1]);
});
