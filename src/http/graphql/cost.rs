//! What a document costs, found out before anything else looks at it: with fragments, a few hundred bytes can ask for millions of fields.

use std::collections::HashMap;

use async_graphql::{
    Name, Variables,
    parser::types::{ExecutableDocument, OperationDefinition, Selection, SelectionSet},
};

/// The most that a document may cost. The introspection of the usual tools costs about 300.
const MOST: usize = 1000;

/// Looks at a document before it is validated.
///
/// # Errors
/// Says that it asks for too much, or which variable it lacks.
pub fn check(document: &ExecutableDocument, operation: Option<&str>, variables: &Variables) -> Result<(), String> {
    let mut costs = Costs {
        document,
        of_fragments: HashMap::new(),
    };
    // Every fragment and every operation is validated, whether it is carried out or not.
    let of_fragments = document
        .fragments
        .keys()
        .map(|name| costs.of_fragment(name))
        .sum::<usize>();
    let of_operations = document.operations.iter().map(|(_, operation)| {
        let variables = operation.node.variable_definitions.len();
        variables + operation.node.directives.len() + costs.of_set(&operation.node.selection_set.node)
    });
    if of_operations.fold(of_fragments, usize::saturating_add) > MOST {
        return Err(format!(
            "the document asks for too much: more than {MOST} fields, arguments and directives, with its fragments in place"
        ));
    }
    let is_meant = |name: Option<&Name>| operation.is_none_or(|meant| name.is_none_or(|name| name == meant));
    let meant = document.operations.iter().find(|(name, _)| is_meant(*name));
    meant.map_or(Ok(()), |(_, operation)| given(&operation.node, variables))
}

/// A variable that must be there is there. async-graphql looks only at those that it comes to use, and by then a rotation has happened.
fn given(operation: &OperationDefinition, variables: &Variables) -> Result<(), String> {
    let missing = operation.variable_definitions.iter().find(|definition| {
        let needed = definition.node.default_value().is_none();
        needed && !variables.contains_key(&definition.node.name.node)
    });
    missing.map_or(Ok(()), |definition| {
        Err(format!("the variable ${} is required", definition.node.name.node))
    })
}

struct Costs<'d> {
    document: &'d ExecutableDocument,
    /// What is known; a fragment that is being looked at costs more than there is, for then it contains itself.
    of_fragments: HashMap<&'d Name, usize>,
}

impl<'d> Costs<'d> {
    fn of_fragment(&mut self, name: &'d Name) -> usize {
        if let Some(cost) = self.of_fragments.get(name) {
            return *cost;
        }
        let Some(fragment) = self.document.fragments.get(name) else {
            return 0;
        };
        self.of_fragments.insert(name, MOST + 1);
        let cost = fragment
            .node
            .directives
            .len()
            .saturating_add(self.of_set(&fragment.node.selection_set.node));
        self.of_fragments.insert(name, cost);
        cost
    }

    fn of_set(&mut self, set: &'d SelectionSet) -> usize {
        set.items.iter().fold(0, |sum: usize, selection| {
            let own = 1 + selection.node.directives().len();
            let below = match &selection.node {
                Selection::Field(field) => field.node.arguments.len() + self.of_set(&field.node.selection_set.node),
                Selection::InlineFragment(fragment) => self.of_set(&fragment.node.selection_set.node),
                Selection::FragmentSpread(spread) => self.of_fragment(&spread.node.fragment_name.node),
            };
            sum.saturating_add(own).saturating_add(below)
        })
    }
}
