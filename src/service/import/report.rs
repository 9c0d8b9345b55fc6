//! The options and the result of an import.

use serde::Serialize;

/// Options of an import.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the options are independent")]
pub struct ImportOptions {
    /// The source of the rows for the audit log: a URL without credentials, or a file.
    pub source: String,
    /// Changes existing records that differ, instead of refusing their rows.
    pub update: bool,
    /// Imports the other rows if some are refused, instead of none.
    pub keep_going: bool,
    /// Writes nothing.
    pub dry_run: bool,
    /// Imports admins, instead of refusing their rows.
    pub with_admins: bool,
}

/// The result of an import.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Number of created records.
    pub created: usize,
    /// Number of records that existed and were equal.
    pub unchanged: usize,
    /// Number of records that existed, differed, and were changed.
    pub changed: usize,
    /// Number of refused rows.
    pub refused: usize,
    /// `true` if the import was committed: not in a dry run, and not if a row was refused without
    /// `keep_going`.
    pub written: bool,
    /// The result of each row, in the order of the source.
    pub rows: Vec<RowReport>,
}

/// The result of importing a row.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RowReport {
    /// The number of the row, from 1.
    pub row: usize,
    /// The UUID of the token or the name of the admin, as the source spells it.
    pub id: String,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: RowOutcome,
}

/// The outcome of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "lowercase")]
pub enum RowOutcome {
    /// The record was created.
    Created,
    /// The record existed and was equal.
    Unchanged,
    /// The record existed and was changed in these fields.
    Changed(String),
    /// The row was refused, for this reason.
    Refused(String),
}

impl ImportReport {
    /// Appends the result of a row.
    pub fn count(&mut self, row: RowReport) {
        *match row.outcome {
            RowOutcome::Created => &mut self.created,
            RowOutcome::Unchanged => &mut self.unchanged,
            RowOutcome::Changed(_) => &mut self.changed,
            RowOutcome::Refused(_) => &mut self.refused,
        } += 1;
        self.rows.push(row);
    }

    /// Appends the results of another step.
    pub fn add(&mut self, other: Self) {
        for row in other.rows {
            self.count(row);
        }
    }
}
