//! CIDR blocks (RFC 4632 and RFC 4291) that limit the addresses a token may be used from.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Serialize, Serializer};

use super::Invalid;

const FIELD: &str = "allowedCIDRBlocks";
const MAX_BLOCKS: usize = 100;

/// The blocks that a token may be used from, in the order given. An empty list allows every
/// address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CidrBlocks(Vec<IpNet>);

impl CidrBlocks {
    /// Parses blocks. Clears host bits, converts IPv4-mapped IPv6 blocks to IPv4 blocks, and drops
    /// duplicates.
    ///
    /// # Errors
    /// Returns [`Invalid`] for the first text that is not a block, with a correction, or if there
    /// are more than 100 blocks.
    pub fn parse<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Result<Self, Invalid> {
        let mut blocks = Vec::new();
        for (index, text) in texts.into_iter().enumerate() {
            let block = parse_block(text.as_ref()).map_err(|invalid| invalid.at_index(index))?;
            if !blocks.contains(&block) {
                blocks.push(block);
            }
            if blocks.len() > MAX_BLOCKS {
                return Err(Invalid::new(
                    FIELD,
                    format!("a token can have at most {MAX_BLOCKS} CIDR blocks"),
                ));
            }
        }
        Ok(Self(blocks))
    }

    /// Returns `true` if a client at `address` may use the token. An IPv4-mapped IPv6 address
    /// counts as the IPv4 address.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        self.0.is_empty() || self.contains(address)
    }

    /// Returns `true` if one of the blocks contains `address`. Unlike [`Self::allows`], an empty
    /// list contains no address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|block| block.contains(&address))
    }

    /// Returns `true` if a client at some address of `network` may use the token.
    #[must_use]
    pub fn allow_part_of(&self, network: &IpNet) -> bool {
        let overlaps = |block: &IpNet| block.contains(network) || network.contains(block);
        self.0.is_empty() || self.0.iter().any(overlaps)
    }

    /// Returns `true` if `outer` allows every address that these blocks allow.
    #[must_use]
    pub fn is_subset_of(&self, outer: &Self) -> bool {
        if outer.0.is_empty() {
            return true;
        }
        let outer = IpNet::aggregate(&outer.0);
        !self.0.is_empty() && self.0.iter().all(|block| outer.iter().any(|wide| wide.contains(block)))
    }

    /// Returns the blocks in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.0.iter()
    }

    /// Returns `true` if there are no blocks, so every address is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Display for CidrBlocks {
    /// Writes the blocks, separated by spaces.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, block) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{block}")?;
        }
        Ok(())
    }
}

impl Serialize for CidrBlocks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|block| DisplayedBlock(*block)))
    }
}

struct DisplayedBlock(IpNet);

impl Serialize for DisplayedBlock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

fn parse_block(text: &str) -> Result<IpNet, Invalid> {
    // `IpNet` accepts leading zeros, which other programs read as octal; the standard library
    // refuses them.
    let plain = text
        .split('/')
        .next()
        .is_some_and(|address| address.parse::<IpAddr>().is_ok());
    let block: IpNet = text.parse().ok().filter(|_| plain).ok_or_else(|| {
        let message = match text.parse::<IpAddr>() {
            Ok(address) => {
                let single = IpNet::from(address);
                format!("{text:?} is missing a prefix length; use \"{single}\"")
            }
            Err(_) => format!("{text:?} is not a CIDR block; use one such as \"10.0.0.0/8\" or \"2001:db8::/32\""),
        };
        Invalid::new(FIELD, message)
    })?;
    Ok(canonical(block))
}

/// Parses an address or a block, in the form of stored blocks.
///
/// # Errors
/// Returns [`Invalid`] if `text` is neither.
pub fn parse_network(text: &str) -> Result<IpNet, Invalid> {
    text.parse::<IpAddr>()
        .map_or_else(|_| parse_block(text), |address| Ok(canonical(address.into())))
}

/// Returns a block with its host bits cleared, and an IPv4-mapped IPv6 block as the IPv4 block.
#[must_use]
pub fn canonical(block: IpNet) -> IpNet {
    unmapped(block).unwrap_or(block).trunc()
}

/// Converts an IPv4-mapped IPv6 block to the IPv4 block. Returns `None` for all other blocks.
fn unmapped(block: IpNet) -> Option<IpNet> {
    let IpNet::V6(block) = block else { return None };
    let prefix = block.prefix_len().checked_sub(96)?;
    let address = block.addr().to_ipv4_mapped()?;
    Ipv4Net::new(address, prefix).ok().map(IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks(texts: &[&str]) -> CidrBlocks {
        CidrBlocks::parse(texts).unwrap()
    }

    #[test]
    fn host_bits_are_cleared_and_duplicates_removed() {
        assert_eq!(
            blocks(&["10.1.2.3/8", "10.0.0.0/8", "2001:db8::1/32", "::ffff:192.0.2.9/120"]).to_string(),
            "10.0.0.0/8 2001:db8::/32 192.0.2.0/24"
        );
    }

    #[test]
    fn invalid_blocks_are_rejected_with_a_suggestion() {
        for (text, right) in [
            ("8.8.8.8", "\"8.8.8.8\" is missing a prefix length; use \"8.8.8.8/32\""),
            ("::1", "\"::1\" is missing a prefix length; use \"::1/128\""),
            (
                "010.0.0.0/8",
                "\"010.0.0.0/8\" is not a CIDR block; use one such as \"10.0.0.0/8\" or \"2001:db8::/32\"",
            ),
            (
                "10.0.0.0/33",
                "\"10.0.0.0/33\" is not a CIDR block; use one such as \"10.0.0.0/8\" or \"2001:db8::/32\"",
            ),
        ] {
            let error = CidrBlocks::parse(["10.0.0.0/8", text]).unwrap_err();
            assert_eq!(error.to_string(), format!("allowedCIDRBlocks[1]: {right}"));
        }
    }

    #[test]
    fn more_than_100_blocks_are_rejected() {
        let block = |n: usize| format!("10.0.{n}.0/24");
        assert!(CidrBlocks::parse((0..100).map(block)).is_ok());
        assert!(CidrBlocks::parse((0..101).map(block)).is_err());
    }

    #[test]
    fn mapped_addresses_are_ipv4_addresses() {
        let v4 = blocks(&["10.0.0.0/8"]);
        assert!(v4.allows("10.9.9.9".parse().unwrap()));
        assert!(v4.allows("::ffff:10.9.9.9".parse().unwrap()));
        assert!(!v4.allows("11.0.0.1".parse().unwrap()));
        assert!(!blocks(&["::/0"]).allows("::ffff:10.9.9.9".parse().unwrap()));
        assert!(CidrBlocks::default().allows("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn blocks_overlap_the_networks_that_they_share_an_address_with() {
        let limited = blocks(&["10.0.0.0/8", "2001:db8::/32"]);
        for (text, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.1.0.0/16", true),
            ("0.0.0.0/0", true),
            ("8.0.0.0/6", true),
            ("11.0.0.0/8", false),
            ("2001:db8:1::/48", true),
            ("2001:db9::/32", false),
            ("::/0", true),
        ] {
            let network = parse_network(text).unwrap();
            assert_eq!(limited.allow_part_of(&network), expected, "{text}");
            assert!(CidrBlocks::default().allow_part_of(&network));
        }
        assert_eq!(parse_network("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
        for wrong in ["", "10.0.0", "10.0.0.0/33", "host"] {
            assert!(parse_network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn adjacent_blocks_are_aggregated() {
        let halves = blocks(&["10.0.0.0/9", "10.128.0.0/9"]);
        assert!(blocks(&["10.0.0.0/8"]).is_subset_of(&halves));
        assert!(!CidrBlocks::default().is_subset_of(&halves));
        assert!(halves.is_subset_of(&CidrBlocks::default()));
    }

    proptest! {
        #[test]
        fn printed_blocks_round_trip(
            addresses in prop::collection::vec((any::<u32>(), 0u8..=32), 0..20),
            wide in prop::collection::vec((any::<u128>(), 0u8..=128), 0..20),
        ) {
            let texts = addresses.iter().map(|(bits, prefix)| format!("{}/{prefix}", std::net::Ipv4Addr::from(*bits)))
                .chain(wide.iter().map(|(bits, prefix)| format!("{}/{prefix}", std::net::Ipv6Addr::from(*bits))));
            let read = CidrBlocks::parse(texts).unwrap();
            let printed = read.to_string();
            prop_assert_eq!(CidrBlocks::parse(printed.split(' ').filter(|text| !text.is_empty())).unwrap(), read);
        }

        #[test]
        fn subsets_allow_no_address_outside_their_supersets(
            outer in any::<(u32, u8)>(),
            inner in any::<(u32, u8)>(),
            probe in any::<u32>(),
        ) {
            let block = |(bits, prefix): (u32, u8)| {
                blocks(&[&format!("{}/{}", std::net::Ipv4Addr::from(bits), prefix % 33)])
            };
            let (outer, inner) = (block(outer), block(inner));
            let address = IpAddr::from(std::net::Ipv4Addr::from(probe));
            prop_assert!(!(inner.is_subset_of(&outer) && inner.allows(address) && !outer.allows(address)));
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in ".{0,60}") {
            let _ = CidrBlocks::parse([text]);
        }
    }
}
