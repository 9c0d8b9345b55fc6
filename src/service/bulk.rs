//! Changes of many tokens in one transaction.

mod selection;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Error, Service,
    search::Search,
    tokens::describe,
    transaction::{AuditEntry, Transaction},
    write_behind::WriteBehind,
};
use crate::{
    domain::{
        Invalid,
        audit::Action,
        authorization::{Operation, authorize},
        caller::{Call, Caller},
        clock::Timestamp,
        page::{ColumnFilter, TokenFilter},
        selection::Selection,
        token::TokenId,
    },
    store::{AnyConnection, StoreError, tokens},
};
pub use selection::BulkChange;

/// Number of tokens that one statement reads, deletes or records.
const BATCH_SIZE: usize = 1000;
/// Maximum duration of the transaction, which blocks other writes. Then it is rolled back.
const MAX_DURATION: Duration = Duration::from_mins(1);
/// Time after which every server has flushed the uses that it had buffered.
const FLUSH_WAIT: Duration = Duration::from_secs(3);

impl Service {
    /// Deletes all tokens that match `filter`, or none. Their number must be `expected`. Returns
    /// that number. Their values stop working immediately.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the filter is empty, or if `expected` is missing, with the number of
    /// matching tokens; [`Error::Conflict`] if the number differs; [`Error::Forbidden`] if the
    /// caller may not delete each of them.
    pub async fn delete_matching(&self, call: Call, filter: TokenFilter, expected: Option<u64>) -> Result<u64, Error> {
        if filter.is_empty() {
            let message = "set at least one, so that a mistake does not delete every token";
            return Err(Invalid::new("filters", message).into());
        }
        let check = move |ids: &[TokenId]| check_count(ids.len(), expected);
        self.change_all(call, Selection::Matching(filter), check, delete_batch)
            .await
    }

    /// Changes the selected tokens by `change_batch`, which returns the number of changed ones, or none of them.
    /// `check` has to accept their IDs, which are sorted.
    async fn change_all(
        &self,
        call: Call,
        selection: Selection,
        check: impl Fn(&[TokenId]) -> Result<(), Error> + Clone + Send + 'static,
        change_batch: impl Fn(&mut Transaction<'_>, &[TokenId]) -> Result<u64, Error> + Clone + Send + 'static,
    ) -> Result<u64, Error> {
        // A request that is refused fails before the wait.
        let write_behind = Arc::clone(&self.write_behind);
        let check_caller = self.caller_check(&call, Operation::ChangeMatching);
        let pending = Arc::clone(&write_behind);
        let candidates = self.prepare_selection(&call, Operation::ChangeMatching, selection.clone());
        let candidates = candidates.await?;
        let candidates = self
            .store
            .read(move |conn| {
                let now = check_caller(conn)?;
                Ok::<_, Error>(resolve(conn, &candidates, &pending, now)?)
            })
            .await?;
        check(&candidates)?;
        match &selection {
            Selection::Matching(filter) if filter.columns.depends_on_use() => tokio::time::sleep(FLUSH_WAIT).await,
            Selection::Matching(_) | Selection::Tokens(_) => {}
        }
        let selection = self
            .prepare_selection(&call, Operation::ChangeMatching, selection)
            .await?;
        let clock = Arc::clone(&self.clock);
        let store_selection = selection.clone();
        let lock = move |conn: &mut AnyConnection, caller: &Caller| lock(conn, caller, &store_selection, clock.now());
        let ends_at = Instant::now() + MAX_DURATION;
        self.transactor
            .run(MAX_DURATION, call, lock, move |tx, locked| {
                authorize(&tx.caller, Operation::ChangeMatching, None)?;
                let ids = resolve(tx.conn, &selection, &write_behind, tx.now)?;
                check(&ids)?;
                if !ids.iter().all(|id| locked.binary_search(id).is_ok()) {
                    let message = "the matching tokens changed during the request, and nothing was changed; try again";
                    return Err(Error::Conflict(message.to_owned()));
                }
                let mut changed = 0;
                for ids in ids.chunks(BATCH_SIZE) {
                    if Instant::now() > ends_at {
                        return Err(StoreError::Timeout.into());
                    }
                    changed += change_batch(tx, ids)?;
                }
                Ok(changed)
            })
            .await
    }
}

/// A selection whose search is prepared.
#[derive(Clone)]
enum PreparedSelection {
    Matching(Search, ColumnFilter),
    Tokens(Vec<TokenId>),
}

impl Service {
    async fn prepare_selection(
        &self,
        call: &Call,
        operation: Operation<'_>,
        selection: Selection,
    ) -> Result<PreparedSelection, Error> {
        match selection {
            Selection::Matching(TokenFilter { search, columns }) => {
                let search = self.prepare_search(call, operation, search).await?;
                Ok(PreparedSelection::Matching(search, columns))
            }
            Selection::Tokens(ids) => Ok(PreparedSelection::Tokens(ids)),
        }
    }
}

/// Returns the sorted IDs of the selected tokens.
fn resolve(
    conn: &mut AnyConnection,
    selection: &PreparedSelection,
    write_behind: &WriteBehind,
    now: Timestamp,
) -> Result<Vec<TokenId>, StoreError> {
    let mut ids = find_ids(conn, selection, now)?;
    match selection {
        PreparedSelection::Matching(_, columns) => write_behind.retain_matching(&mut ids, columns),
        PreparedSelection::Tokens(_) => {}
    }
    Ok(ids)
}

/// Returns the sorted IDs of the selected tokens, regardless of pending uses.
fn find_ids(
    conn: &mut AnyConnection,
    selection: &PreparedSelection,
    now: Timestamp,
) -> Result<Vec<TokenId>, StoreError> {
    match selection {
        PreparedSelection::Matching(search, columns) => {
            tokens::ids(conn, search.query(columns, now), |token| search.matches(token))
        }
        PreparedSelection::Tokens(ids) => Ok(tokens::find_all(conn, ids)?.iter().map(|token| token.id).collect()),
    }
}

fn check_count(found: usize, expected: Option<u64>) -> Result<(), Error> {
    let found = found as u64;
    let matching = match found {
        1 => "1 token matches".to_owned(),
        found => format!("{found} tokens match"),
    };
    match expected {
        Some(expected) if expected == found => Ok(()),
        Some(expected) => Err(Error::Conflict(format!(
            "{matching}, and not {expected}; nothing was deleted"
        ))),
        None => {
            let message = format!("{matching}; set expected={found} to delete them");
            Err(Invalid::new("expected", message).into())
        }
    }
}

/// Locks the caller, if it is a token, and all selected tokens, in the order of their IDs. Returns
/// the IDs.
///
/// Other changes use the same order, so that transactions cannot deadlock, except for imports. A
/// transaction that PostgreSQL aborts because of a deadlock with an import is retried.
fn lock(
    conn: &mut AnyConnection,
    caller: &Caller,
    selection: &PreparedSelection,
    now: Timestamp,
) -> Result<Vec<TokenId>, Error> {
    let mut ids = find_ids(conn, selection, now)?;
    match caller {
        Caller::CommandLine | Caller::Admin(_) | Caller::Holder(..) | Caller::LegacyLogin => {}
        Caller::Token(token, _) => {
            if let Err(place) = ids.binary_search(&token.id) {
                ids.insert(place, token.id);
            }
        }
    }
    ids.chunks(BATCH_SIZE).try_for_each(|ids| tokens::lock_all(conn, ids))?;
    Ok(ids)
}

fn delete_batch(tx: &mut Transaction<'_>, ids: &[TokenId]) -> Result<u64, Error> {
    let found = tokens::find_all(tx.conn, ids)?;
    let entry = |token| {
        authorize(&tx.caller, Operation::Delete, Some(token))?;
        Ok::<_, Error>(AuditEntry::about(token, Action::TokenDeleted, describe(token)))
    };
    let entries = found.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    // All of them are locked. A missing one is a defect, and no event may be recorded for it.
    if entries.len() != ids.len() || tokens::delete_all(tx.conn, ids)? != ids.len() {
        return Err(Error::NotFound("token"));
    }
    tx.audit(entries)?;
    Ok(ids.len() as u64)
}
