//! Deletes all tokens that match a filter.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Error, Service,
    tokens::describe,
    transaction::{AuditEntry, Transaction},
};
use crate::{
    domain::{
        Invalid,
        audit::Action,
        authorization::{Operation, authorize},
        caller::{Call, Caller},
        clock::Timestamp,
        page::TokenFilter,
        token::TokenId,
    },
    store::{AnyConnection, StoreError, tokens},
};

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
        // A request without `expected`, or with a wrong number, fails before the wait.
        let (store_filter, write_behind) = (filter.clone(), Arc::clone(&self.write_behind));
        let check_caller = self.caller_check(&call, Operation::DeleteMatching);
        let mut candidates = self
            .store
            .read(move |conn| {
                let now = check_caller(conn)?;
                Ok::<_, Error>(tokens::ids(conn, &store_filter, now)?)
            })
            .await?;
        write_behind.retain_matching(&mut candidates, &filter);
        check_count(candidates.len(), expected)?;
        if filter.depends_on_use() {
            tokio::time::sleep(FLUSH_WAIT).await;
        }
        let clock = Arc::clone(&self.clock);
        let store_filter = filter.clone();
        let lock = move |conn: &mut AnyConnection, caller: &Caller| lock(conn, caller, &store_filter, clock.now());
        let ends_at = Instant::now() + MAX_DURATION;
        self.transactor
            .run(MAX_DURATION, call, lock, move |tx, locked| {
                authorize(&tx.caller, Operation::DeleteMatching, None)?;
                let mut matching = tokens::ids(tx.conn, &filter, tx.now)?;
                write_behind.retain_matching(&mut matching, &filter);
                let number = check_count(matching.len(), expected)?;
                if !matching.iter().all(|id| locked.binary_search(id).is_ok()) {
                    let message = "the matching tokens changed during the request, and nothing was deleted; try again";
                    return Err(Error::Conflict(message.to_owned()));
                }
                for ids in matching.chunks(BATCH_SIZE) {
                    if Instant::now() > ends_at {
                        return Err(StoreError::Timeout.into());
                    }
                    delete_batch(tx, ids)?;
                }
                Ok(number)
            })
            .await
    }
}

fn check_count(found: usize, expected: Option<u64>) -> Result<u64, Error> {
    let found = found as u64;
    let matching = match found {
        1 => "1 token matches".to_owned(),
        found => format!("{found} tokens match"),
    };
    match expected {
        Some(expected) if expected == found => Ok(found),
        Some(expected) => Err(Error::Conflict(format!(
            "{matching}, and not {expected}; nothing was deleted"
        ))),
        None => {
            let message = format!("{matching}; set expected={found} to delete them");
            Err(Invalid::new("expected", message).into())
        }
    }
}

/// Locks the caller, if it is a token, and all tokens that match `filter`, in the order of their
/// IDs. Returns the IDs.
///
/// Other changes use the same order, so that transactions cannot deadlock, except for imports. A
/// transaction that PostgreSQL aborts because of a deadlock with an import is retried.
fn lock(
    conn: &mut AnyConnection,
    caller: &Caller,
    filter: &TokenFilter,
    now: Timestamp,
) -> Result<Vec<TokenId>, Error> {
    let mut ids = tokens::ids(conn, filter, now)?;
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

fn delete_batch(tx: &mut Transaction<'_>, ids: &[TokenId]) -> Result<(), Error> {
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
    tx.audit(entries)
}
