//! Parses the sources of an import: the token list of a legacy server, or an export.

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer as _, SeqAccess, Visitor},
};
use serde_json::Value;

use crate::{
    domain::{
        Invalid,
        encoding::to_utf_8,
        name::TokenName,
        printable::escape_unprintable,
        record::{AdminRecord, TokenRecord},
        token::TokenId,
        value::ValueHash,
    },
    service::archive::{ArchiveLine, FORMAT, VERSION},
};

/// A row of the source.
#[derive(Clone)]
pub struct ImportRow {
    /// The number of the row, from 1.
    pub number: usize,
    /// The UUID of the token or the name of the admin, as the source spells it; empty if missing.
    pub id: String,
    /// The content, or the reason why it is invalid.
    pub content: Result<RowContent, String>,
}

/// The content of a row.
#[derive(Clone)]
pub enum RowContent {
    /// A token in the list of a legacy server.
    Legacy(LegacyRow),
    /// A token in an export.
    Token(Box<TokenRecord>),
    /// An admin in an export.
    Admin(Box<AdminRecord>),
}

/// A token in the list of a legacy server.
#[derive(Clone)]
pub struct LegacyRow {
    /// The UUID.
    pub id: TokenId,
    /// The name.
    pub name: TokenName,
    /// `true` if the token may read.
    pub read: bool,
    /// `true` if the token may change.
    pub change: bool,
}

impl RowContent {
    /// Returns the hashes of the values in this row.
    pub fn values(&self) -> Vec<ValueHash> {
        match self {
            Self::Token(record) => record.values().collect(),
            Self::Legacy(_) | Self::Admin(_) => Vec::new(),
        }
    }
}

impl ImportRow {
    /// Returns the ID of the token in this row; `None` for an admin or an invalid row.
    pub fn token_id(&self) -> Option<TokenId> {
        match self.content.as_ref().ok()? {
            RowContent::Legacy(row) => Some(row.id),
            RowContent::Token(record) => Some(record.token.id),
            RowContent::Admin(_) => None,
        }
    }
}

/// The trust in the source of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceTrust {
    /// A legacy server. Only a token list is accepted: an export could create admins.
    LegacyServer,
    /// The operator who runs the import.
    Operator,
}

/// Parses the token list of a legacy server, or an export. The text determines which.
///
/// # Errors
/// [`Invalid`] if `text` is neither, or is truncated. An invalid row is not an error: the row
/// contains the reason.
pub fn parse(text: &[u8], trust: SourceTrust) -> Result<Vec<ImportRow>, Invalid> {
    let text = to_utf_8(text).ok_or_else(|| source("is malformed UTF-16"))?;
    let text = text.as_ref();
    match text.trim_ascii_start().first() {
        None => Err(source("is empty")),
        Some(b'[') => read_list(text),
        Some(_) if trust == SourceTrust::LegacyServer && !text.trim_ascii_start().starts_with(b"<") => {
            Err(source("is not the token list of a legacy server"))
        }
        Some(b'{') if is_wrapped(text) => read_wrapped(text),
        Some(b'{') => read_export(text),
        Some(b'<') => Err(source(
            "is an HTML page, not a token list; check the address, and that the user may list tokens",
        )),
        Some(_) => Err(source("is neither the token list of a legacy server nor an export")),
    }
}

fn source(reason: impl Into<String>) -> Invalid {
    Invalid::new("source", reason)
}

/// Parses a bare array of `{uuid, name, read, change}`. Other fields are ignored.
fn read_list(text: &[u8]) -> Result<Vec<ImportRow>, Invalid> {
    struct List;
    impl<'de> Visitor<'de> for List {
        type Value = Vec<ImportRow>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of tokens")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<ImportRow>, A::Error> {
            let mut rows = Vec::new();
            while let Some(value) = list.next_element::<Value>()? {
                rows.push(legacy_row(rows.len() + 1, &value));
            }
            Ok(rows)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    deserializer
        .deserialize_seq(List)
        .and_then(|rows| deserializer.end().map(|()| rows))
        .map_err(|error| source(format!("is not a JSON array: {error}")))
}

/// A list as PowerShell 5 serializes it: `{"value": […], "Count": 2}`.
#[derive(Deserialize)]
struct Wrapped {
    value: Vec<Value>,
}

fn is_wrapped(text: &[u8]) -> bool {
    let object = text.trim_ascii_start();
    let fields = object.strip_prefix(b"{").unwrap_or_default().trim_ascii_start();
    fields.starts_with(b"\"value\"") || fields.starts_with(b"\"Count\"")
}

fn read_wrapped(text: &[u8]) -> Result<Vec<ImportRow>, Invalid> {
    let Wrapped { value } =
        serde_json::from_slice(text).map_err(|error| source(format!("is not a JSON array: {error}")))?;
    let rows = value.iter().enumerate();
    Ok(rows.map(|(index, value)| legacy_row(index + 1, value)).collect())
}

fn legacy_row(number: usize, value: &Value) -> ImportRow {
    let id = value.get("uuid").map_or_else(String::new, |uuid| {
        let text = match uuid {
            Value::String(text) => escape_unprintable(text).into_owned(),
            other => escape_unprintable(&other.to_string()).into_owned(),
        };
        text.chars().take(64).collect()
    });
    ImportRow {
        number,
        id,
        content: legacy_content(value).map(RowContent::Legacy),
    }
}

fn legacy_content(value: &Value) -> Result<LegacyRow, String> {
    if !value.is_object() {
        return Err("is not a JSON object".to_owned());
    }
    let flag = |field: &str| match value.get(field) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(format!("{field}: must be true or false")),
    };
    let uuid = value
        .get("uuid")
        .and_then(Value::as_str)
        .and_then(|uuid| uuid.parse().ok());
    let name = value
        .get("name")
        .and_then(Value::as_str)
        .ok_or("name: must be a string")?;
    Ok(LegacyRow {
        id: uuid.ok_or("uuid: must be a UUID")?,
        name: name.parse().map_err(|invalid: Invalid| invalid.to_string())?,
        read: flag("read")?,
        change: flag("change")?,
    })
}

/// Parses an export.
fn read_export(text: &[u8]) -> Result<Vec<ImportRow>, Invalid> {
    let mut lines = serde_json::Deserializer::from_slice(text).into_iter::<ArchiveLine>();
    match lines.next() {
        Some(Ok(ArchiveLine::Format { name, version })) if name == FORMAT && version == VERSION => {}
        Some(Ok(ArchiveLine::Format { name, version })) if name == FORMAT => {
            return Err(source(format!(
                "is an export of version {version}; this program supports version {VERSION}"
            )));
        }
        _ => return Err(source("is neither the token list of a legacy server nor an export")),
    }
    let mut rows = Vec::new();
    for line in lines {
        let number = rows.len() + 1;
        let line = line.map_err(|error| source(format!("row {number} of the export is invalid: {error}")))?;
        let (id, content) = match line {
            ArchiveLine::Token(line) => {
                let id = escape_unprintable(line.id()).into_owned();
                (
                    id,
                    TokenRecord::try_from(*line).map(|record| RowContent::Token(Box::new(record))),
                )
            }
            ArchiveLine::Admin(line) => {
                let id = escape_unprintable(line.name()).into_owned();
                (
                    id,
                    AdminRecord::try_from(line).map(|record| RowContent::Admin(Box::new(record))),
                )
            }
            ArchiveLine::End { tokens, admins } if tokens.checked_add(admins) == Some(rows.len() as u64) => {
                return Ok(rows);
            }
            ArchiveLine::End { .. } | ArchiveLine::Format { .. } => break,
        };
        rows.push(ImportRow {
            number,
            id,
            content: content.map_err(|invalid| invalid.to_string()),
        });
    }
    Err(source("the export is truncated, or several exports were joined"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn export(lines: &[Value]) -> Result<Vec<ImportRow>, Invalid> {
        let format = json!({ "format": { "name": FORMAT, "version": VERSION } });
        let lines: Vec<String> = [&format].into_iter().chain(lines).map(Value::to_string).collect();
        parse(lines.join("\n").as_bytes(), SourceTrust::Operator)
    }

    #[test]
    fn overflowing_counts_are_rejected() {
        let end = json!({ "end": { "tokens": u64::MAX, "admins": 1 } });
        assert!(export(&[end]).is_err());
    }

    #[test]
    fn file_contents_cannot_inject_terminal_escapes() {
        let id = "\u{1b}]0;owned\u{7}\u{9b}2J\n\u{202e}";
        let admin = json!({ "admin": { "name": id, "passwordHash": id, "createdAt": id, "passwordChangedAt": null } });
        let rows = export(&[admin, json!({ "end": { "tokens": 0, "admins": 1 } })]).unwrap();
        let unknown = export(&[json!({ "admin": { id: 1 } })]).err().unwrap().to_string();
        let list = json!([{ "uuid": id, "name": id }, { "uuid": { id: id } }]).to_string();
        let legacy = parse(list.as_bytes(), SourceTrust::LegacyServer).unwrap();
        let broken = parse(format!("[{{}}, {id}").as_bytes(), SourceTrust::LegacyServer)
            .err()
            .unwrap()
            .to_string();
        let mut shown = vec![unknown, broken];
        for row in rows.into_iter().chain(legacy) {
            shown.extend([row.id, row.content.err().unwrap()]);
        }
        for text in shown {
            assert!(
                !text.chars().any(char::is_control) && !text.contains('\u{202e}'),
                "{text:?}"
            );
        }
    }
}
