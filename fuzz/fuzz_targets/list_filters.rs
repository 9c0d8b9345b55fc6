//! Fuzzes the query string of `GET /api-tokens`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenbridge::http::fuzz;

fuzz_target!(|query: &str| {
    let _ = fuzz::list_filter(query);
});
