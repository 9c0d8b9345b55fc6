//! Fuzzes the files that `import` reads: a legacy list or an export.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenbridge::service::import::rows::{self, SourceTrust};

/// Asserts that no control characters from the file reach a terminal.
fn assert_printable(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

fuzz_target!(|data: &[u8]| {
    for trust in [SourceTrust::LegacyServer, SourceTrust::Operator] {
        match rows::parse(data, trust) {
            Err(invalid) => assert_printable(&invalid.to_string()),
            Ok(rows) => {
                for row in rows {
                    assert_printable(&row.id);
                    if let Err(reason) = row.content {
                        assert_printable(&reason);
                    }
                }
            }
        }
    }
});
