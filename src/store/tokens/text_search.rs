//! The search for a part of a text.

use diesel::{
    AppearsOnTable, Connection, Expression, QueryResult, SelectableExpression,
    expression::{ValidGrouping, is_aggregate},
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{Bool, Text},
};

use crate::{
    domain::text::case_variants,
    store::{connection::AnyConnection, schema::tokens},
};

/// Maximum number of nested replacements: SQLite limits the depth of an expression. More are the variants of a hundred
/// different letters.
const MAX_REPLACEMENTS: usize = 200;

type Backend = <AnyConnection as Connection>::Backend;

/// A column that can be searched. A token without a value in the column does not match.
#[derive(Clone, Copy)]
pub enum SearchedColumn {
    /// The name.
    Name,
    /// The owner.
    Owner,
}

impl SearchedColumn {
    const fn sql(self) -> &'static str {
        match self {
            Self::Name => "lower(tokens.name)",
            Self::Owner => "lower(tokens.owner)",
        }
    }
}

/// The condition that a column contains a text in any case.
///
/// SQLite, and PostgreSQL in the C locale, convert only ASCII letters to lower case, so other variants of the letters
/// in the text are replaced. It is one fragment, because diesel walks an argument of a function twice, which would
/// double the time with every nested one.
pub struct TextContains {
    column: SearchedColumn,
    folded: String,
    variants: Vec<(&'static str, &'static str)>,
}

impl TextContains {
    /// Creates the condition for a text without case.
    pub fn new(column: SearchedColumn, folded: String) -> Self {
        let variants = case_variants(&folded).take(MAX_REPLACEMENTS).collect();
        Self {
            column,
            folded,
            variants,
        }
    }

    fn walk_folded_column<'b>(&'b self, mut out: AstPass<'_, 'b, Backend>) -> QueryResult<()> {
        out.push_sql(&"replace(".repeat(self.variants.len()));
        out.push_sql(self.column.sql());
        for (variant, to) in &self.variants {
            for text in [variant, to] {
                out.push_sql(", ");
                out.push_bind_param::<Text, _>(text)?;
            }
            out.push_sql(")");
        }
        Ok(())
    }
}

impl QueryFragment<Backend> for TextContains {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Backend>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("replace(");
        self.walk_folded_column(out.reborrow())?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&self.folded)?;
        out.push_sql(", '') <> ");
        self.walk_folded_column(out)
    }
}

impl Expression for TextContains {
    type SqlType = Bool;
}

impl AppearsOnTable<tokens::table> for TextContains {}

impl SelectableExpression<tokens::table> for TextContains {}

impl ValidGrouping<()> for TextContains {
    type IsAggregate = is_aggregate::No;
}

impl QueryId for TextContains {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}
