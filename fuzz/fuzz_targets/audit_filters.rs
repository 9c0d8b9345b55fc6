//! Fuzzes the query string of `GET /audit-events`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenbridge::http::fuzz;

fuzz_target!(|query: &str| {
    let _ = fuzz::audit_filter(query);
});
