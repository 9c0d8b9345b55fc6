//! Fuzzes parsing and printing of brownouts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenbridge::domain::brownout::Brownout;

fuzz_target!(|text: &str| {
    if let Ok(brownout) = Brownout::parse(text) {
        assert_eq!(Brownout::parse(&brownout.to_string()), Ok(brownout));
    }
});
