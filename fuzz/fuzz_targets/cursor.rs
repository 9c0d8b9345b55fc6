//! Fuzzes parsing of page cursors, page sizes, and audit cursors.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenbridge::domain::{
    audit::EventCursor,
    page::{Cursor, PageSize},
};

fuzz_target!(|text: &str| {
    if let Ok(cursor) = Cursor::parse(text) {
        assert_eq!(cursor.to_string(), text);
    }
    if let Ok(cursor) = EventCursor::parse(text) {
        assert_eq!(cursor.to_string(), text);
    }
    if let Ok(size) = PageSize::parse(text) {
        assert!((1..=1000).contains(&size.get()));
    }
});
