//! In which form a client wants the events.

use actix_web::{
    HttpRequest,
    http::header::{ACCEPT, Accept, Header},
    mime::{self, Mime},
};

use super::view::{csv_header, csv_line, json_line};
use crate::{domain::audit::EventPage, http::error::Failure};

/// A form that events are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A page, as a JSON object.
    Json,
    /// RFC 4180.
    Csv,
    /// A JSON object a line, by this name.
    JsonLines(&'static str),
}

impl Form {
    const OFFERED: [Self; 4] = [
        Self::Json,
        Self::Csv,
        Self::JsonLines("application/x-ndjson"),
        Self::JsonLines("application/jsonl"),
    ];

    const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::JsonLines(name) => name,
        }
    }

    /// What the answer says it is.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            other => other.media_type(),
        }
    }

    /// The events of a page as they follow each other in a stream, behind a header line where the form has one and this is the `first`.
    pub fn text(self, page: &EventPage, first: bool) -> Result<String, Failure> {
        let mut text = match self {
            Self::Csv if first => csv_header(),
            _ => String::new(),
        };
        for event in &page.events {
            match self {
                Self::Csv => csv_line(event, &mut text),
                _ => text.push_str(&json_line(event)?),
            }
        }
        Ok(text)
    }
}

/// The form that a request prefers: the one of the highest quality, of those the one that it names most exactly, of those the first.
///
/// # Errors
/// 406 when it takes none.
pub fn form(request: &HttpRequest) -> Result<Form, Failure> {
    let refuse = || Failure::not_acceptable(&Form::OFFERED.map(Form::media_type).join(", "));
    if !request.headers().contains_key(ACCEPT) {
        return Ok(Form::Json);
    }
    let accept = Accept::parse(request).map_err(|_| refuse())?;
    if accept.is_empty() {
        return Ok(Form::Json);
    }
    let wanted = |form: Form| {
        let ranges = accept.iter();
        let fitting = ranges.filter_map(|range| Some((exactness(&range.item, form)?, range.quality)));
        // The most exact range decides (RFC 9110, section 12.5.1).
        let (exactness, quality) = fitting.max_by_key(|(exactness, _)| *exactness)?;
        (quality > actix_web::http::header::Quality::ZERO).then_some((quality, exactness))
    };
    let ranked = Form::OFFERED.into_iter().filter_map(|form| Some((wanted(form)?, form)));
    // Of equals, `max_by` would take the last.
    let best = ranked.reduce(|best, other| if other.0 > best.0 { other } else { best });
    best.map(|(_, form)| form).ok_or_else(refuse)
}

/// How exactly a range names the media type of a form, if it takes it.
fn exactness(range: &Mime, form: Form) -> Option<u8> {
    let (kind, _) = form.media_type().split_once('/')?;
    if range.essence_str() == form.media_type() {
        Some(2)
    } else if range.type_() == kind && range.subtype() == mime::STAR {
        Some(1)
    } else {
        (*range == mime::STAR_STAR).then_some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn form_of(accept: &str) -> Option<Form> {
        form(&TestRequest::get().insert_header((ACCEPT, accept)).to_http_request()).ok()
    }

    #[test]
    fn the_accept_header_chooses_the_form() {
        let lines = Form::JsonLines("application/x-ndjson");
        for (accept, chosen) in [
            ("text/csv", Some(Form::Csv)),
            ("TEXT/CSV;charset=utf-8", Some(Form::Csv)),
            ("text/*", Some(Form::Csv)),
            ("*/*", Some(Form::Json)),
            ("application/*", Some(Form::Json)),
            ("text/csv, */*", Some(Form::Csv)),
            ("text/csv;q=0.5, */*", Some(Form::Json)),
            ("text/csv, application/json", Some(Form::Json)),
            ("application/x-ndjson", Some(lines)),
            ("application/jsonl", Some(Form::JsonLines("application/jsonl"))),
            ("application/json;q=0, application/*", Some(lines)),
            ("text/html, application/xhtml+xml, */*;q=0.8", Some(Form::Json)),
            ("text/html", None),
            ("application/json;q=0", None),
            ("", Some(Form::Json)),
        ] {
            assert_eq!(form_of(accept), chosen, "{accept:?}");
        }
        assert_eq!(form(&TestRequest::get().to_http_request()).ok(), Some(Form::Json));
    }
}
