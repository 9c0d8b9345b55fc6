//! Fuzzes the checks of a GraphQL document before its execution.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenbridge::http::fuzz;

fuzz_target!(|text: &str| {
    let _ = fuzz::check_graphql(text);
});
