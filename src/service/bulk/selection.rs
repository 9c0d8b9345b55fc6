//! Changes of selected tokens, which were confirmed before.

use std::sync::Arc;

use super::{PreparedSelection, delete_batch, resolve};
use crate::{
    domain::{
        Invalid,
        authorization::Operation,
        caller::Call,
        clock::Timestamp,
        expiry::Expiry,
        page::{BoundedCount, PageSize},
        selection::{Selection, SelectionDigest, SelectionPreview},
        sort::{PagePosition, TokenOrder},
        token::{Attribution, Token, TokenId},
    },
    service::{
        Error, Service,
        tokens::{TokenChanges, plan_update, require_found, update_entry},
        transaction::Transaction,
    },
    store::{
        AnyConnection, StoreError,
        tokens::{self, FieldChange},
    },
};

/// A change of all selected tokens.
#[derive(Clone, Copy, Debug)]
pub enum BulkChange {
    /// Deletes them.
    Delete,
    /// Refuses every use of them, or allows it again.
    SetDisabled(bool),
    /// Sets their expiry.
    SetExpiry(Expiry),
}

impl Service {
    /// Returns the number of selected tokens, and the first ones in this order. Tokens that are selected by their IDs
    /// keep the order of these.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not read tokens; [`Error::Invalid`] if more than 10,000 are selected.
    pub async fn preview(
        &self,
        call: &Call,
        selection: Selection,
        order: TokenOrder,
    ) -> Result<SelectionPreview, Error> {
        let write_behind = Arc::clone(&self.write_behind);
        let selection = self.prepare_selection(call, Operation::Read, selection).await?;
        let check_caller = self.caller_check(call, Operation::Read);
        let mut preview = self
            .store
            .read(move |conn| {
                let now = check_caller(conn)?;
                if let PreparedSelection::Matching(search, columns) = &selection {
                    check_size(tokens::counts(conn, search.query(columns, now), &[])?.all.exact())?;
                }
                let ids = resolve(conn, &selection, &write_behind, now)?;
                Ok::<_, Error>(SelectionPreview {
                    count: ids.len() as u64,
                    digest: SelectionDigest::of(&ids),
                    first: first_tokens(conn, &selection, order, now)?,
                })
            })
            .await?;
        let now = self.clock.now();
        for token in &mut preview.first {
            self.write_behind.apply_last_use(token, now);
        }
        Ok(preview)
    }

    /// Changes all selected tokens, or none. They must be those of `expected`. Returns the number of tokens that
    /// changed: those that already match a change are not written.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the selected tokens are others than those of `expected`; [`Error::Forbidden`] if the
    /// caller may not change each of them like this; [`Error::Invalid`] if more than 10,000 are selected, or the new
    /// expiry has passed.
    pub async fn change_selected(
        &self,
        call: Call,
        selection: Selection,
        bulk: BulkChange,
        expected: SelectionDigest,
    ) -> Result<u64, Error> {
        let check = move |ids: &[TokenId]| {
            check_size(Some(ids.len() as u64))?;
            if SelectionDigest::of(ids) == expected {
                Ok(())
            } else {
                let message =
                    "the selected tokens changed since they were shown, and nothing was done; check them again";
                Err(Error::Conflict(message.to_owned()))
            }
        };
        let change_batch = move |tx: &mut Transaction<'_>, ids: &[TokenId]| match bulk {
            BulkChange::Delete => delete_batch(tx, ids),
            BulkChange::SetDisabled(disabled) => {
                let changes = TokenChanges {
                    disabled: Some(disabled),
                    ..TokenChanges::default()
                };
                let disabled_at = disabled.then_some(tx.now);
                update_batch(tx, ids, &changes, FieldChange::DisabledAt(disabled_at))
            }
            BulkChange::SetExpiry(expires_at) => {
                let changes = TokenChanges {
                    expires_at: Some(expires_at),
                    ..TokenChanges::default()
                };
                update_batch(tx, ids, &changes, FieldChange::ExpiresAt(expires_at))
            }
        };
        self.change_all(call, selection, check, change_batch).await
    }
}

/// Checks the number of selected tokens; `None` stands for more than can be counted.
fn check_size(count: Option<u64>) -> Result<(), Error> {
    if count.is_some_and(|count| count <= BoundedCount::MAX) {
        return Ok(());
    }
    let message = "more than 10,000 tokens are selected; narrow the filter to change fewer at once";
    Err(Invalid::new("selection", message).into())
}

fn first_tokens(
    conn: &mut AnyConnection,
    selection: &PreparedSelection,
    order: TokenOrder,
    now: Timestamp,
) -> Result<Vec<Token>, StoreError> {
    match selection {
        PreparedSelection::Matching(search, columns) => {
            let (query, size) = (search.query(columns, now), PageSize::OF_PREVIEW);
            Ok(tokens::sorted_page(conn, query, order, PagePosition::Start, size)?.tokens)
        }
        PreparedSelection::Tokens(ids) => {
            let mut found = tokens::find_all(conn, ids)?;
            found.sort_by_key(|token| ids.iter().position(|id| *id == token.id));
            found.truncate(PageSize::OF_PREVIEW.get());
            Ok(found)
        }
    }
}

/// Updates those tokens that do not match `changes` yet, which `field` writes.
fn update_batch(
    tx: &mut Transaction<'_>,
    ids: &[TokenId],
    changes: &TokenChanges,
    field: FieldChange,
) -> Result<u64, Error> {
    let (mut updated, mut entries) = (Vec::new(), Vec::new());
    for token in tokens::find_all(tx.conn, ids)? {
        let (before, after) = plan_update(tx, Some(token), changes.clone())?;
        if let Some(after) = after {
            updated.push(after.id);
            entries.push(update_entry(&before, &after));
        }
    }
    let update = Attribution {
        at: tx.now,
        by: tx.caller.actor(),
    };
    require_found(tokens::update_all(tx.conn, &updated, field, &update)? == updated.len())?;
    tx.audit(entries)?;
    Ok(updated.len() as u64)
}
