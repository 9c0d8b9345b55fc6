//! Fuzzes parsing, printing, and nesting of CIDR blocks, one per line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenbridge::domain::cidr::CidrBlocks;

fuzz_target!(|text: &str| {
    let Ok(blocks) = CidrBlocks::parse(text.lines()) else {
        return;
    };
    let printed = blocks.to_string();
    let read = CidrBlocks::parse(printed.split(' ').filter(|text| !text.is_empty()));
    assert_eq!(read.as_ref(), Ok(&blocks));
    assert!(blocks.iter().count() <= 100);
    assert!(blocks.is_subset_of(&blocks));
    for block in blocks.iter() {
        for address in [block.network(), block.broadcast()] {
            // An IPv4-mapped address is canonically an IPv4 address, which no IPv6 block contains.
            assert!(address != address.to_canonical() || blocks.allows(address));
        }
    }
});
