//! Content negotiation (RFC 9110, section 12.5.1).

use actix_web::{
    HttpRequest,
    dev::Payload,
    http::header::{ACCEPT, Accept, Header, Quality},
    mime::{self, Mime},
};

use futures_util::future::LocalBoxFuture;

use super::input::Input;
use crate::http::error::{ApiError, DeclaresErrors, ErrorKind};

/// The formats of a response.
pub trait ResponseFormat: Copy + 'static {
    /// The media types on offer, each with its format. The first one is the default.
    const OFFERED: &'static [(&'static str, Self)];
}

/// The response format that the client prefers.
pub struct Accepted<F>(pub F);

impl<F> DeclaresErrors for Accepted<F> {
    fn errors() -> Vec<ErrorKind> {
        vec![ErrorKind::NotAcceptable]
    }
}

impl<F: ResponseFormat> Input for Accepted<F> {
    fn read<'r>(request: &'r HttpRequest, _: &'r mut Payload) -> LocalBoxFuture<'r, Result<Self, ApiError>> {
        let format = negotiate(request, F::OFFERED);
        Box::pin(async move { Ok(Self(format?)) })
    }
}

/// Returns the format whose media type the request prefers.
///
/// # Errors
/// 406 if the request accepts none of them.
fn negotiate<F: Copy>(request: &HttpRequest, offered: &[(&'static str, F)]) -> Result<F, ApiError> {
    let names: Vec<&str> = offered.iter().map(|(name, _)| *name).collect();
    let preferred = negotiate_media_type(request, &names)?;
    let found = offered.iter().find(|(name, _)| *name == preferred);
    found
        .map(|(_, format)| *format)
        .ok_or_else(|| ApiError::not_acceptable(&names.join(", ")))
}

/// Returns the media type among `offered` that a request prefers: the one with the highest quality,
/// then the one with the most specific range, then the first.
///
/// # Errors
/// 406 if the request accepts none of them.
fn negotiate_media_type(request: &HttpRequest, offered: &[&'static str]) -> Result<&'static str, ApiError> {
    let refuse = || ApiError::not_acceptable(&offered.join(", "));
    let accept = if request.headers().contains_key(ACCEPT) {
        Accept::parse(request).map_err(|_| refuse())?
    } else {
        Accept::star()
    };
    if accept.is_empty() {
        return offered.first().copied().ok_or_else(refuse);
    }
    let wanted = |offered: &str| {
        let ranges = accept.iter();
        let fitting = ranges.filter_map(|range| Some((specificity(&range.item, offered)?, range.quality)));
        // The most specific range decides.
        let (specificity, quality) = fitting.max_by_key(|(specificity, _)| *specificity)?;
        (quality > Quality::ZERO).then_some((quality, specificity))
    };
    let ranked = offered.iter().filter_map(|offered| Some((wanted(offered)?, *offered)));
    // Among equal elements, `max_by` returns the last.
    let best = ranked.reduce(|best, other| if other.0 > best.0 { other } else { best });
    best.map(|(_, offered)| offered).ok_or_else(refuse)
}

/// Returns the specificity of a range for a media type; `None` if the range does not match.
fn specificity(range: &Mime, offered: &str) -> Option<u8> {
    let (kind, _) = offered.split_once('/')?;
    if range.essence_str() == offered {
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

    const OFFERED: &[&str] = &[
        "application/json",
        "text/csv",
        "application/x-ndjson",
        "application/jsonl",
    ];

    fn negotiated(accept: &str) -> Option<&'static str> {
        negotiate_media_type(
            &TestRequest::get().insert_header((ACCEPT, accept)).to_http_request(),
            OFFERED,
        )
        .ok()
    }

    #[test]
    fn the_accept_header_selects_the_format() {
        let (json, csv, lines) = (Some("application/json"), Some("text/csv"), Some("application/x-ndjson"));
        for (accept, chosen) in [
            ("text/csv", csv),
            ("TEXT/CSV;charset=utf-8", csv),
            ("text/*", csv),
            ("*/*", json),
            ("application/*", json),
            ("text/csv, */*", csv),
            ("text/csv;q=0.5, */*", json),
            ("text/csv, application/json", json),
            ("application/x-ndjson", lines),
            ("application/jsonl", Some("application/jsonl")),
            ("application/json;q=0, application/*", lines),
            ("text/html, application/xhtml+xml, */*;q=0.8", json),
            ("text/html", None),
            ("application/json;q=0", None),
            ("", json),
        ] {
            assert_eq!(negotiated(accept), chosen, "{accept:?}");
        }
        assert_eq!(
            negotiate_media_type(&TestRequest::get().to_http_request(), OFFERED).ok(),
            json
        );
    }
}
