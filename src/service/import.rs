//! Imports tokens: from the token list of a legacy server, or from an export.

mod report;
pub mod rows;
mod transaction;

use std::{collections::HashSet, time::Duration};

use super::{Error, Service, transaction::Transaction};
use crate::{
    domain::{
        authorization::{Operation, authorize},
        caller::{Call, Caller},
    },
    store::{AnyConnection, records},
};
pub use report::{ImportOptions, ImportReport, RowOutcome, RowReport};
use rows::{ImportRow, RowContent};
use transaction::ImportTransaction;

/// Number of rows that one step of an import reads and writes together.
const STEP_ROWS: usize = records::MAX_BATCH;

/// The reason for rolling an import back.
#[derive(Debug, thiserror::Error)]
enum ImportFailure {
    /// The options ask for it: a dry run, or a refused row without `keep_going`.
    #[error("nothing was imported")]
    Reported(ImportReport),
    /// An error.
    #[error(transparent)]
    Failed(Error),
}

impl<E: Into<Error>> From<E> for ImportFailure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Service {
    /// Imports rows: all or none, unless `options` say otherwise. Calls `progress` after each step
    /// with the number of rows processed so far.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a token; [`Error::Conflict`] if a token changed concurrently. With
    /// `keep_going`, the steps before an error remain imported.
    pub async fn import(
        &self,
        call: Call,
        rows: Vec<ImportRow>,
        options: ImportOptions,
        progress: impl Fn(usize) + Clone + Send + 'static,
    ) -> Result<ImportReport, Error> {
        let rows = reject_duplicates(rows);
        if !options.keep_going || options.dry_run {
            return self.import_in_transaction(call, rows, options, progress).await;
        }
        let mut total = ImportReport {
            written: true,
            ..ImportReport::default()
        };
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let step = rows.by_ref().take(STEP_ROWS).collect();
            let before = total.rows.len();
            let progress = progress.clone();
            let report_progress = move |done| progress(before + done);
            total.add(
                self.import_in_transaction(call.clone(), step, options.clone(), report_progress)
                    .await?,
            );
        }
        Ok(total)
    }

    /// Imports rows in one transaction.
    async fn import_in_transaction(
        &self,
        call: Call,
        rows: Vec<ImportRow>,
        options: ImportOptions,
        progress: impl Fn(usize) + Clone + Send + 'static,
    ) -> Result<ImportReport, Error> {
        // A token is refused, so no caller has to be locked against revocation here.
        let lock = |_: &mut AnyConnection, _: &Caller| Ok(());
        let work = move |tx: &mut Transaction<'_>, ()| {
            authorize(&tx.caller, Operation::Import, None)?;
            let mut import = ImportTransaction::new(tx, options);
            let mut rows = rows.into_iter().peekable();
            while rows.peek().is_some() {
                import.import_rows(tx, rows.by_ref().take(STEP_ROWS).collect())?;
                progress(import.report().rows.len());
            }
            import.finish().map_err(ImportFailure::Reported)
        };
        match self.transactor.run(Duration::MAX, call, lock, work).await {
            Ok(report) | Err(ImportFailure::Reported(report)) => Ok(report),
            Err(ImportFailure::Failed(error)) => Err(error),
        }
    }
}

/// Refuses rows whose ID occurred in an earlier row.
fn reject_duplicates(mut rows: Vec<ImportRow>) -> Vec<ImportRow> {
    let mut seen = HashSet::new();
    let mut names = HashSet::new();
    for row in &mut rows {
        let is_new = match &row.content {
            Err(_) => true,
            Ok(RowContent::Admin(record)) => names.insert(record.admin.name.as_str().to_owned()),
            Ok(RowContent::Legacy(_) | RowContent::Token(_)) => row.token_id().is_none_or(|id| seen.insert(id)),
        };
        if !is_new {
            row.content = Err("an earlier row has the same uuid or name".to_owned());
        }
    }
    rows
}
