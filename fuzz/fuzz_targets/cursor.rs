//! Fuzzes parsing of page cursors, page sizes, and audit cursors.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenbridge::domain::{
    audit::EventCursor,
    page::{Cursor, PageSize},
};

fuzz_target!(|text: &str| {
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string(), text);
    }
    if let Ok(cursor) = text.parse::<EventCursor>() {
        assert_eq!(cursor.to_string(), text);
    }
    if let Ok(size) = text.parse::<PageSize>() {
        assert!((1..=1000).contains(&size.get()));
    }
});
