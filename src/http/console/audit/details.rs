//! The details of audit events in the language of the page.

use serde_json::Value;

use super::labels::refusal_reason;
use crate::{
    domain::{admin::Role, clock::Timestamp, legacy_phase::LegacyMode},
    http::console::{
        display_time::exact,
        layout::Layout,
        roles::describe_role,
        text::{count, number},
        texts::audit::AuditTexts,
    },
};

/// The meaning of a field's value.
#[derive(Clone, Copy)]
enum Format {
    /// Names, numbers, and addresses, which are the same in all languages.
    Plain,
    Time,
    /// The name of a file, a URL, or the standard input.
    Source,
    Seconds,
    Role,
    LegacyMode,
    RefusalReason,
}

/// Returns the details as one line per field: `Name: a → b`.
pub fn detail_lines(details: &Value, layout: &Layout, texts: &AuditTexts) -> Vec<String> {
    let fields = details.as_object().into_iter().flatten();
    let line = |(field, value): (&String, &Value)| {
        let (title, format) = describe_field(field, layout, texts);
        let shown = |value| format_value(value, format, layout, texts);
        match (value.get("from"), value.get("to")) {
            (Some(from), Some(to)) => format!("{title}: {} → {}", shown(from), shown(to)),
            _ => format!("{title}: {}", shown(value)),
        }
    };
    fields.filter(|(_, value)| !value.is_null()).map(line).collect()
}

/// Returns the title of a field, and the meaning of its value. A field that only another version writes keeps its name.
fn describe_field<'f>(field: &'f str, layout: &Layout, texts: &AuditTexts) -> (&'f str, Format) {
    let t = layout.texts;
    match field {
        "name" => (t.name, Format::Plain),
        "permissions" => (t.permissions, Format::Plain),
        "allowedCIDRBlocks" => (t.allowed_networks, Format::Plain),
        "expiresAt" => (t.expires, Format::Time),
        "description" => (t.description, Format::Plain),
        "owner" => (t.owner, Format::Plain),
        "disabledAt" => (texts.disabled_since, Format::Time),
        "gracePeriodSeconds" => (texts.grace_period, Format::Seconds),
        "deleted" => (texts.with_token, Format::Plain),
        "admin" => (t.role_admin, Format::Plain),
        "role" => (t.role, Format::Role),
        "source" => (texts.source, Format::Source),
        "reason" => (texts.reason, Format::RefusalReason),
        "count" => (texts.count, Format::Plain),
        "mode" => (texts.mode, Format::LegacyMode),
        "deprecation" => (texts.deprecation, Format::Time),
        "sunset" => (texts.sunset, Format::Time),
        "brownouts" => (texts.brownouts, Format::Plain),
        "uuidAuth" => (texts.uuid_auth, Format::Plain),
        other => (other, Format::Plain),
    }
}

fn format_value(value: &Value, format: Format, layout: &Layout, texts: &AuditTexts) -> String {
    match value {
        Value::String(text) => format_text(text, format, layout, texts),
        Value::Null => "–".to_owned(),
        Value::Array(all) if all.is_empty() => "–".to_owned(),
        Value::Array(all) => {
            let all = all.iter().map(|one| format_value(one, format, layout, texts));
            all.collect::<Vec<_>>().join(", ")
        }
        Value::Bool(true) => texts.yes.to_owned(),
        Value::Bool(false) => texts.no.to_owned(),
        Value::Number(digits) => match (digits.as_u64(), format) {
            (Some(seconds), Format::Seconds) => count(texts.seconds, seconds),
            (Some(counted), _) => number(counted),
            (None, _) => digits.to_string(),
        },
        Value::Object(_) => value.to_string(),
    }
}

fn format_text(text: &str, format: Format, layout: &Layout, texts: &AuditTexts) -> String {
    let found = match format {
        Format::Plain | Format::Seconds => None,
        Format::Source => (text == "standard input").then(|| texts.standard_input.to_owned()),
        Format::Time => text.parse::<Timestamp>().ok().map(exact),
        Format::Role => Role::from_name(text).map(|role| describe_role(role, layout.texts).0.to_owned()),
        Format::LegacyMode => LegacyMode::from_name(text).map(|mode| mode_title(mode, texts).to_owned()),
        Format::RefusalReason => refusal_reason(text, texts).map(str::to_owned),
    };
    found.unwrap_or_else(|| text.to_owned())
}

const fn mode_title(mode: LegacyMode, texts: &AuditTexts) -> &'static str {
    match mode {
        LegacyMode::On => texts.mode_on,
        LegacyMode::ReadOnly => texts.mode_read_only,
        LegacyMode::Off => texts.mode_off,
    }
}
