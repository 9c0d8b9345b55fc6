//! Limits the cost of a document before it is validated: with fragments, a few hundred bytes can
//! request millions of fields.

use std::collections::HashMap;

use async_graphql::{
    Name, Variables,
    parser::types::{ExecutableDocument, OperationDefinition, Selection, SelectionSet},
};

use super::nesting::MAX_DEPTH;

/// Maximum cost of a document. Common introspection queries cost about 300.
const MAX_COST: usize = 1000;

/// Checks the depth and the cost of a document, and the variables of its operation.
///
/// # Errors
/// The reason to refuse the document: it is too deep or too expensive, or a required variable is
/// missing.
pub fn check(document: &ExecutableDocument, operation: Option<&str>, variables: &Variables) -> Result<(), String> {
    let mut costs = CostCounter {
        document,
        fragment_sizes: HashMap::new(),
        depth: 0,
        is_too_deep: false,
    };
    // Unused fragments and operations also count, because async-graphql validates them.
    let fragment_cost = document
        .fragments
        .keys()
        .map(|name| costs.fragment_size(name).cost)
        .fold(0, usize::saturating_add);
    let operation_costs = document.operations.iter().map(|(_, operation)| {
        let variables = operation.node.variable_definitions.len();
        variables + operation.node.directives.len() + costs.selection_set_size(&operation.node.selection_set.node).cost
    });
    let whole = operation_costs.fold(fragment_cost, usize::saturating_add);
    if costs.is_too_deep {
        return Err(format!(
            "the document is nested more than {MAX_DEPTH} levels deep after its fragments are expanded"
        ));
    }
    if whole > MAX_COST {
        return Err(format!(
            "the document is too complex: more than {MAX_COST} fields, arguments, and directives after its fragments \
                are expanded"
        ));
    }
    let is_selected = |name: Option<&Name>| operation.is_none_or(|meant| name.is_none_or(|name| name == meant));
    let meant = document.operations.iter().find(|(name, _)| is_selected(*name));
    meant.map_or(Ok(()), |(_, operation)| check_variables(&operation.node, variables))
}

/// Checks that all required variables are present. async-graphql checks a variable only when it is
/// used, and a rotation may have run by then.
fn check_variables(operation: &OperationDefinition, variables: &Variables) -> Result<(), String> {
    let missing = operation.variable_definitions.iter().find(|definition| {
        let needed = definition.node.default_value().is_none();
        needed && !variables.contains_key(&definition.node.name.node)
    });
    missing.map_or(Ok(()), |definition| {
        Err(format!("the variable ${} is required", definition.node.name.node))
    })
}

struct CostCounter<'d> {
    document: &'d ExecutableDocument,
    /// The sizes of fragments. While a fragment is being measured, its entry exceeds [`MAX_COST`],
    /// so that a cycle is refused.
    fragment_sizes: HashMap<&'d Name, Size>,
    /// Number of selection sets around the current one, with fragments inlined.
    depth: usize,
    /// `true` if a selection set nests too deeply. A chain of fragments nests without brackets.
    is_too_deep: bool,
}

/// The cost of a selection set, and its number of nested levels.
#[derive(Clone, Copy, Default)]
struct Size {
    cost: usize,
    levels: usize,
}

impl<'d> CostCounter<'d> {
    fn fragment_size(&mut self, name: &'d Name) -> Size {
        if let Some(size) = self.fragment_sizes.get(name) {
            self.is_too_deep |= self.depth + size.levels > MAX_DEPTH;
            return *size;
        }
        let Some(fragment) = self.document.fragments.get(name) else {
            return Size::default();
        };
        let cyclic = Size {
            cost: MAX_COST + 1,
            levels: 0,
        };
        self.fragment_sizes.insert(name, cyclic);
        let mut size = self.selection_set_size(&fragment.node.selection_set.node);
        size.cost = size.cost.saturating_add(fragment.node.directives.len());
        self.fragment_sizes.insert(name, size);
        size
    }

    fn selection_set_size(&mut self, set: &'d SelectionSet) -> Size {
        if set.items.is_empty() {
            return Size::default();
        }
        if self.depth == MAX_DEPTH {
            self.is_too_deep = true;
            return Size::default();
        }
        self.depth += 1;
        let mut whole = Size::default();
        for selection in &set.items {
            let below = match &selection.node {
                Selection::Field(field) => {
                    let mut below = self.selection_set_size(&field.node.selection_set.node);
                    below.cost = below.cost.saturating_add(field.node.arguments.len());
                    below
                }
                Selection::InlineFragment(fragment) => self.selection_set_size(&fragment.node.selection_set.node),
                Selection::FragmentSpread(spread) => self.fragment_size(&spread.node.fragment_name.node),
            };
            let own = 1 + selection.node.directives().len();
            whole.cost = whole.cost.saturating_add(own).saturating_add(below.cost);
            whole.levels = whole.levels.max(below.levels);
        }
        self.depth -= 1;
        whole.levels += 1;
        whole
    }
}
