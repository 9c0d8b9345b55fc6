//! Fuzzes parsing of presented token values.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenbridge::domain::value::ValueHash;

fuzz_target!(|text: &str| {
    if let Some(hash) = ValueHash::from_presented(text) {
        assert!(text.starts_with("tbk_") && text.len() == 53 && text.is_ascii());
        assert_eq!(ValueHash::from_bytes(hash.as_bytes()), Some(hash));
    }
});
