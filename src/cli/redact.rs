//! Keeps passwords out of usage errors.

use clap::error::{ContextKind, ContextValue};

/// The placeholder for a hidden value.
pub const REDACTED: &str = "…";

/// Hides values in clap's error message that may contain a password.
pub fn redact(mut error: clap::Error) -> clap::Error {
    let is_url =
        matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(flag)) if flag.contains("<URL>"));
    let secret: Vec<ContextKind> = error
        .context()
        .filter(|(kind, value)| match value {
            ContextValue::String(text) => may_contain_password(text) || (is_url && *kind == ContextKind::InvalidValue),
            ContextValue::StyledStrs(hints) => hints.iter().any(|hint| may_contain_password(&hint.to_string())),
            _ => false,
        })
        .map(|(kind, _)| kind)
        .collect();
    for kind in secret {
        error.insert(kind, ContextValue::String(REDACTED.to_owned()));
    }
    error
}

/// Returns `true` for text that looks like a URL with credentials or like a connection string.
pub fn may_contain_password(text: &str) -> bool {
    text.contains(['@', '=']) || text.contains("://")
}

/// Returns the name of a file for a message, or [`REDACTED`] if it may contain a password.
pub fn file_name(path: &std::path::Path) -> String {
    let name = path.display().to_string();
    if may_contain_password(&name) {
        REDACTED.to_owned()
    } else {
        name
    }
}
