//! The details of audit events about tokens.

use serde_json::{Map, Value, json};

use crate::domain::token::Token;

/// Returns the description of a token in audit events.
pub fn describe(token: &Token) -> Value {
    // Exhaustive, so that a new field does not compile until it is recorded, or left out on
    // purpose.
    let Token {
        id: _, // The event names the token.
        name,
        permissions,
        allowed_cidr_blocks,
        has_value: _, // The action of the event implies it.
        created: _,   // The events are the history of the token: they record actors and times themselves.
        updated: _,
        rotated_at: _,
        last_used_at: _, // A use is not a change.
        expires_at,
        description,
        owner,
        disabled_at,
        version: _, // Counts the events.
    } = token;
    let mut described = json!({
        "name": name.as_str(),
        "permissions": permissions,
        "allowedCIDRBlocks": allowed_cidr_blocks,
        "expiresAt": expires_at,
    });
    let optional = [
        ("description", description.as_ref().map(|text| json!(text.as_str()))),
        ("owner", owner.as_ref().map(|text| json!(text.as_str()))),
        ("disabledAt", disabled_at.map(|time| json!(time))),
    ];
    if let Some(described) = described.as_object_mut() {
        let present = optional
            .into_iter()
            .filter_map(|(field, value)| Some((field.to_owned(), value?)));
        described.extend(present);
    }
    described
}

/// Returns the differences between two states of a token, each as `{"from": …, "to": …}`, with `null` for a field
/// without a value.
pub fn diff(before: &Token, after: &Token) -> Value {
    let (before, after) = (describe(before), describe(after));
    let fields = [&before, &after]
        .into_iter()
        .filter_map(Value::as_object)
        .flat_map(Map::keys);
    let differences = fields.filter_map(|field| {
        let (from, to) = (before.get(field), after.get(field));
        (from != to).then(|| (field.clone(), json!({ "from": from, "to": to })))
    });
    Value::Object(differences.collect::<Map<_, _>>())
}
