//! Error messages about the fields of bodies, forms, and queries. Serde's own messages name Rust's types.

/// The types that a field can have: serde's name, and the name in messages.
const EXPECTED: &[(&str, &str)] = &[
    ("a string", STRING),
    ("a boolean", BOOLEAN),
    ("f64", NUMBER),
    ("a sequence", "a list"),
    ("a map", "an object"),
];

/// The types of a value: the beginning of serde's description, and the name in messages.
const FOUND: &[(&str, &str)] = &[
    ("string", STRING),
    ("boolean", "a boolean"),
    ("integer", NUMBER),
    ("floating point", NUMBER),
    ("sequence", "a list"),
    ("map", "an object"),
    ("null", "null"),
];

const STRING: &str = "a string";
const BOOLEAN: &str = "true or false";
const NUMBER: &str = "a number";

/// Rewrites serde's `error` about the data at `path` to say which value is valid. A message about a wrong type does not
/// contain the value, which may be a secret.
pub fn explain(path: &str, error: &str) -> String {
    if let Some(field) = quoted(error, "duplicate field ") {
        return format!("{field}: must not be given twice");
    }
    if let Some(field) = quoted(error, "missing field ") {
        return format!("{field}: is required");
    }
    let types = error.strip_prefix("invalid type: ");
    let Some((found, expected)) = types.and_then(|types| types.rsplit_once(", expected ")) else {
        return format!("{path}: {error}");
    };
    let expected = EXPECTED
        .iter()
        .find_map(|(serde, plain)| (*serde == expected).then_some(*plain))
        .unwrap_or(expected);
    let found = FOUND
        .iter()
        .find_map(|(serde, plain)| found.starts_with(serde).then_some(*plain))
        .unwrap_or("this");
    let advice = match (found, expected) {
        (STRING, NUMBER | BOOLEAN) => "; write it without quotes",
        (NUMBER | "a boolean", STRING) => "; write it in quotes",
        _ => "",
    };
    format!("{path}: must be {expected}, not {found}{advice}")
}

/// Returns the name in backticks after `prefix`.
fn quoted<'e>(error: &'e str, prefix: &str) -> Option<&'e str> {
    error.strip_prefix(prefix)?.strip_prefix('`')?.strip_suffix('`')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_is_right() {
        for (error, message) in [
            (
                r#"invalid type: string "3600, expected f64", expected f64"#,
                "f: must be a number, not a string; write it without quotes",
            ),
            (
                "invalid type: integer `1`, expected a boolean",
                "f: must be true or false, not a number",
            ),
            ("invalid type: null, expected a sequence", "f: must be a list, not null"),
            (
                "invalid type: map, expected a string",
                "f: must be a string, not an object",
            ),
            ("duplicate field `name`", "name: must not be given twice"),
            ("missing field `query`", "query: is required"),
        ] {
            assert_eq!(explain("f", error), message);
        }
    }
}
