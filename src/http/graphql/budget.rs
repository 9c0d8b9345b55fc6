//! Limits the size of a response: introspection multiplies each field by the lists that contain it,
//! so that a few KB of aliases request megabytes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_graphql::{
    QueryPathSegment, Response, ServerError, ServerResult, Value,
    async_trait::async_trait,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo},
    parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet},
};
use tokio::sync::Notify;

use crate::domain::permission::Permission;

/// Maximum size of a response in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// Maximum number of errors in a response.
const MAX_ERRORS: usize = 20;
/// Maximum length of an error message in characters. A syntax error's message repeats its whole line.
const MAX_MESSAGE_CHARS: usize = 500;
/// Bytes for the quotes, the colon, and the comma around a key and its value.
const PUNCTUATION: usize = 6;

/// The number of bytes that the execution of a query has resolved so far. Text in an object counts
/// twice: as a field, and with its object. The object includes `__typename`, which extensions do
/// not see as a field. So a response of [`MAX_BYTES`] uses at most twice as many.
#[derive(Default)]
pub struct Budget {
    used: AtomicUsize,
    exceeded: Notify,
}

impl Budget {
    /// Waits until the budget is exceeded.
    pub async fn exceeded(&self) {
        self.exceeded.notified().await;
    }

    fn charge(&self, bytes: usize) -> bool {
        let fits = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= 2 * MAX_BYTES;
        if !fits {
            self.exceeded.notify_one();
        }
        fits
    }
}

/// Charges resolved values to the [`Budget`] of the request.
pub struct BudgetExtension;

impl ExtensionFactory for BudgetExtension {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait]
impl Extension for BudgetExtension {
    async fn resolve(
        &self,
        context: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let Some(budget) = context.data_opt::<Arc<Budget>>() else {
            return next.run(context, info).await;
        };
        let key = match info.path_node.segment {
            QueryPathSegment::Name(key) => key.len() + PUNCTUATION,
            QueryPathSegment::Index(_) => 1,
        };
        if budget.charge(key) {
            let value = next.run(context, info).await?;
            if budget.charge(value.as_ref().map_or(0, own_bytes)) {
                return Ok(value);
            }
        }
        // Resolves nothing further; the caller drops the execution when the budget is exceeded.
        std::future::pending().await
    }
}

/// Returns the bytes of a value, excluding the objects and lists in it, which were charged already.
fn own_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Enum(name) => name.len(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| matches!(value, Value::String(_)))
            .map(|(key, value)| key.len() + own_bytes(value))
            .sum(),
        _ => 0,
    }
}

/// Returns `true` if the response to a mutation in this document could exceed [`MAX_BYTES`]. This
/// is checked before the mutation runs: if the response to a rotation were refused, the new value
/// would be lost. The cost limit bounds the traversal.
pub fn could_exceed(document: &ExecutableDocument) -> bool {
    let mut operations = document.operations.iter().map(|(_, operation)| &operation.node);
    operations.any(|operation| {
        operation.ty == OperationType::Mutation && max_bytes(document, &operation.selection_set.node) > MAX_BYTES
    })
}

fn max_bytes(document: &ExecutableDocument, set: &SelectionSet) -> usize {
    let of_selection = |selection: &Selection| match selection {
        Selection::Field(field) => {
            let field = &field.node;
            let below = &field.selection_set.node;
            let value = if below.items.is_empty() {
                // A document with an unknown field is not executed.
                max_leaf_bytes(&field.name.node).unwrap_or_default()
            } else {
                max_bytes(document, below)
            };
            field.response_key().node.len() + PUNCTUATION + value
        }
        Selection::InlineFragment(fragment) => max_bytes(document, &fragment.node.selection_set.node),
        Selection::FragmentSpread(spread) => {
            let fragment = document.fragments.get(&spread.node.fragment_name.node);
            fragment.map_or(0, |fragment| max_bytes(document, &fragment.node.selection_set.node))
        }
    };
    set.items.iter().map(|selection| of_selection(&selection.node)).sum()
}

/// Returns the maximum bytes of a leaf field that a mutation can select, as JSON; `None` for a field
/// that does not exist.
fn max_leaf_bytes(field: &str) -> Option<usize> {
    const MAX_TYPE_NAME: usize = 64;
    const MAX_ID: usize = 36;
    const MAX_TIME: usize = "9999-12-31T23:59:59.999999Z".len();
    const MAX_VALUE: usize = 53;
    /// JSON escapes a control character with 6 bytes: earlier versions allowed them.
    const MAX_NAME: usize = 255 * 6;
    const MAX_BLOCKS: usize = 100 * "\"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128\",".len();
    match field {
        "__typename" => Some(MAX_TYPE_NAME),
        "id" => Some(MAX_ID),
        "name" => Some(MAX_NAME),
        "allowedCIDRBlocks" => Some(MAX_BLOCKS),
        "permissions" => Some(
            Permission::ALL
                .iter()
                .map(|permission| permission.name().len() + 3)
                .sum(),
        ),
        "createdAt" | "expiresAt" | "lastUsedAt" | "rotatedAt" | "updatedAt" => Some(MAX_TIME),
        "value" => Some(MAX_VALUE),
        _ => None,
    }
}

/// Truncates the errors of a response.
pub fn limit_errors(response: &mut Response) {
    response.errors.truncate(MAX_ERRORS);
    for ServerError { message, .. } in &mut response.errors {
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE_CHARS) {
            message.truncate(end);
            message.push('…');
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use async_graphql::parser::{
        parse_schema,
        types::{BaseType, Type, TypeKind, TypeSystemDefinition},
    };

    use super::*;
    use crate::http::graphql::schema::SCHEMA;

    fn named_type(ty: &Type) -> &str {
        match &ty.base {
            BaseType::Named(name) => name,
            BaseType::List(item) => named_type(item),
        }
    }

    #[test]
    fn every_leaf_field_of_a_mutation_has_a_maximum() {
        let document = parse_schema(SCHEMA.sdl()).unwrap();
        let objects: HashMap<&str, _> = document
            .definitions
            .iter()
            .filter_map(|definition| match definition {
                TypeSystemDefinition::Type(definition) => match &definition.node.kind {
                    TypeKind::Object(object) => Some((definition.node.name.node.as_str(), object)),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        let (mut waiting, mut leaves) = (vec!["Mutation"], 0);
        while let Some(name) = waiting.pop() {
            for field in &objects[name].fields {
                let (field, ty) = (&field.node.name.node, named_type(&field.node.ty.node));
                if objects.contains_key(ty) {
                    waiting.push(ty);
                } else {
                    assert!(max_leaf_bytes(field).is_some(), "{name}.{field}");
                    leaves += 1;
                }
            }
        }
        assert!(leaves > 5, "{leaves}");
    }
}
