//! The formats of audit events.

use crate::{
    domain::audit::EventPage,
    http::{error::ApiError, extract::accept::ResponseFormat},
    view::{
        audit_event::{csv_header, push_csv_row, to_json_line},
        csv,
    },
};

const JSON: &str = "application/json";
const CSV: &str = "text/csv";
const NDJSON: &str = "application/x-ndjson";
const JSON_LINES: &str = "application/jsonl";

/// A format of audit events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFormat {
    /// A page, as a JSON object.
    Json,
    /// CSV (RFC 4180).
    Csv,
    /// One JSON object per line, with this media type.
    JsonLines(&'static str),
    /// All events, as a JSON array.
    JsonArray,
}

impl ResponseFormat for EventFormat {
    const OFFERED: &'static [(&'static str, Self)] = &[
        (JSON, Self::Json),
        (CSV, Self::Csv),
        (NDJSON, Self::JsonLines(NDJSON)),
        (JSON_LINES, Self::JsonLines(JSON_LINES)),
    ];
}

impl EventFormat {
    /// Returns the media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json | Self::JsonArray => JSON,
            Self::Csv => csv::CONTENT_TYPE,
            Self::JsonLines(name) => name,
        }
    }

    /// Formats the events of a page within a stream. The `first` page begins with a header line if
    /// the format has one.
    pub fn render(self, page: &EventPage, first: bool) -> Result<String, ApiError> {
        let mut text = match self {
            Self::Csv if first => csv_header(),
            Self::JsonArray if first => "[\n".to_owned(),
            Self::Csv | Self::Json | Self::JsonArray | Self::JsonLines(_) => String::new(),
        };
        for (number, event) in page.events.iter().enumerate() {
            if self == Self::JsonArray && !(first && number == 0) {
                text.push(',');
            }
            match self {
                Self::Csv => push_csv_row(event, &mut text),
                Self::Json | Self::JsonArray | Self::JsonLines(_) => text.push_str(&to_json_line(event)?),
            }
        }
        if self == Self::JsonArray && page.next.is_none() {
            text.push_str("]\n");
        }
        Ok(text)
    }
}
