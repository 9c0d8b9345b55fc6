//! Fuzzes parsing and printing of brownouts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenbridge::domain::brownout::Brownout;

fuzz_target!(|text: &str| {
    if let Ok(brownout) = text.parse::<Brownout>() {
        assert_eq!(brownout.to_string().parse::<Brownout>(), Ok(brownout));
    }
});
