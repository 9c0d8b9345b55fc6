//! Normalization of paths.

use std::borrow::Cow;

use actix_web::{HttpMessage, dev::ServiceRequest, http::Uri};

use super::request::TrailingSlash;

/// Removes trailing and repeated slashes from the path of a request, so that each route has one
/// path.
pub fn normalize(request: &mut ServiceRequest) {
    let Cow::Owned(path) = normalize_path(request.path()) else {
        return;
    };
    if request.path().ends_with('/') {
        request.extensions_mut().insert(TrailingSlash);
    }
    let mut parts = request.uri().clone().into_parts();
    let query = request.query_string();
    let path = if query.is_empty() {
        path
    } else {
        format!("{path}?{query}")
    };
    parts.path_and_query = path.parse().ok();
    // A URI with fewer slashes is still valid.
    if let Ok(uri) = Uri::from_parts(parts) {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
}

fn normalize_path(path: &str) -> Cow<'_, str> {
    let abnormal = path.contains("//") || (path.ends_with('/') && path != "/");
    if abnormal {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        Cow::Owned(format!("/{}", segments.join("/")))
    } else {
        Cow::Borrowed(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redundant_slashes_are_removed() {
        for (written, meant) in [
            ("/", "/"),
            ("/tokens", "/tokens"),
            ("/tokens/", "/tokens"),
            ("//tokens///x//", "/tokens/x"),
            ("///", "/"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(normalize_path(written), meant);
        }
    }
}
