//! Fuzzes HTTP Basic credentials.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenbridge::http::fuzz;

fuzz_target!(|data: &[u8]| {
    let _ = fuzz::basic(data);
    let _ = fuzz::basic(&[b"Basic ".as_slice(), data].concat());
    // A plain name and password must round-trip.
    if let Some((name, password)) = std::str::from_utf8(data).ok().and_then(|text| text.split_once(':'))
        && data.iter().all(u8::is_ascii_graphic)
    {
        let encoded = fuzz::basic_header(data);
        assert_eq!(
            fuzz::basic(encoded.as_bytes()),
            Some((name.to_owned(), password.to_owned()))
        );
    }
});
