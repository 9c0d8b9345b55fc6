//! The checks of a GraphQL document before it is executed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenbridge::http::fuzz;

fuzz_target!(|text: &str| {
    let _ = fuzz::check_graphql(text);
});
