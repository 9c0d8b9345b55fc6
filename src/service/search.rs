//! The search for tokens: an index in memory, which is kept while it is used.
//!
//! A database finds a part of a text, a permission, or a network only by reading every token. The index reads them once
//! and then only those that have changed, so a search among a million tokens takes milliseconds.

mod index;

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use super::{Error, Service, token_cache::TokenCache};
use crate::{
    domain::{
        Invalid,
        authorization::{Operation, authorize},
        caller::Call,
        clock::Timestamp,
        page::{ColumnFilter, Cursor, PageSize},
        search::{RowSet, SearchFields, SearchFilter},
        token::TokenId,
    },
    store::{
        AnyConnection, Store, StoreError,
        tokens::{self, TokenQuery},
    },
};
use index::TokenIndex;

/// Time after its last use in which the index is kept.
const MAX_IDLE: Duration = Duration::from_mins(10);
/// Maximum age of the index. It bounds the effect of manual changes to the tables.
const MAX_AGE: Duration = Duration::from_hours(1);
/// Maximum duration of a transaction that creates tokens, except for imports, which the feed reports.
const MAX_CREATION: Duration = Duration::from_mins(1);
/// Maximum number of tokens that other transactions create meanwhile.
const MAX_OVERTAKING: i64 = 10_000;
/// Maximum number of tokens in the index, which then takes about a gigabyte: verifications need memory too.
const MAX_TOKENS: usize = 10_000_000;
/// Number of changed tokens that are read at once.
const CHANGES_AT_ONCE: usize = 5000;

/// The index of a store, if it is kept.
#[derive(Clone)]
pub struct TokenSearch {
    store: Store,
    token_cache: Arc<TokenCache>,
    kept: Arc<Mutex<Option<Kept>>>,
}

/// The index, with what its next update needs.
struct Kept {
    index: TokenIndex,
    /// Every token up to here has been read.
    complete_to: Cursor,
    /// The newest token of an earlier update, and its time. Tokens before it may have become visible only later: on
    /// PostgreSQL, transactions commit in any order.
    settling: Option<(Cursor, Instant)>,
    /// The last search, if the index has not changed since: a page and its counts search for the same.
    last: Option<Search>,
    built_at: Instant,
    used_at: Instant,
}

impl Kept {
    fn new(at: Instant) -> Self {
        Self {
            index: TokenIndex::default(),
            complete_to: Cursor::default(),
            settling: None,
            last: None,
            built_at: at,
            used_at: at,
        }
    }

    fn is_usable(&self, at: Instant) -> bool {
        at.duration_since(self.used_at) < MAX_IDLE && at.duration_since(self.built_at) < MAX_AGE
    }

    /// Notes that all tokens that were visible at `at` have been read, `newest` as the last one.
    fn settle(&mut self, newest: Cursor, at: Instant) {
        match self.settling {
            None => self.complete_to = Cursor::after((newest.row() - MAX_OVERTAKING).max(0)),
            Some((settled, since)) if at.duration_since(since) >= MAX_CREATION => self.complete_to = settled,
            Some(_) => return,
        }
        self.settling = Some((newest, at));
    }
}

/// A search. It runs when its result is first asked for, so that this can be on a thread that may block.
#[derive(Clone)]
pub struct Search {
    filter: SearchFilter,
    /// The index, and the result once it is known; `None` if the filter excludes nothing.
    running: Option<Arc<(TokenIndex, OnceLock<RowSet>)>>,
}

impl Search {
    /// Returns the query for the tokens that match and meet the conditions on columns.
    pub fn query<'q>(&'q self, filter: &'q ColumnFilter, now: Timestamp) -> TokenQuery<'q> {
        let running = self.running.as_deref();
        let found = running.map(|(index, found)| found.get_or_init(|| index.find(&self.filter)));
        TokenQuery { filter, found, now }
    }

    /// Returns `true` if a token matches as it is now.
    pub fn matches(&self, token: &SearchFields) -> bool {
        self.filter.matches(token)
    }
}

impl Service {
    /// Prepares a search, which includes every change of this server, and those that others made more than a second
    /// ago.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not do `operation`; [`Error::Invalid`] if there are more than 10 million
    /// tokens; [`Error::Unavailable`] if the store fails.
    pub(super) async fn prepare_search(
        &self,
        call: &Call,
        operation: Operation<'_>,
        filter: SearchFilter,
    ) -> Result<Search, Error> {
        authorize(&call.caller, operation, None)?;
        if filter.is_empty() {
            let running = None;
            return Ok(Search { filter, running });
        }
        // A task of its own: clients that do not wait for the index must not keep others from getting it.
        let prepared = tokio::spawn(self.search.clone().prepare(filter));
        prepared.await.map_err(StoreError::from)?
    }
}

impl TokenSearch {
    /// Creates a search without an index.
    pub fn new(store: Store, token_cache: Arc<TokenCache>) -> Self {
        Self {
            store,
            token_cache,
            kept: Arc::default(),
        }
    }

    /// Frees the index if it was not used for a while.
    pub fn free_idle_memory(&self) {
        if let Ok(mut kept) = self.kept.try_lock() {
            *kept = kept.take().filter(|kept| kept.is_usable(Instant::now()));
        }
    }

    async fn prepare(self, filter: SearchFilter) -> Result<Search, Error> {
        let mut place = self.kept.lock().await;
        // If the update fails, the index is discarded: it lacks the changes that were taken.
        let mut kept = self.update_index(place.take()).await?;
        let search = match kept.last.take() {
            Some(last) if last.filter == filter => last,
            Some(_) | None => {
                let running = Some(Arc::new((kept.index.clone(), OnceLock::new())));
                Search { filter, running }
            }
        };
        kept.last = Some(search.clone());
        *place = Some(kept);
        Ok(search)
    }

    async fn update_index(&self, kept: Option<Kept>) -> Result<Kept, Error> {
        let at = Instant::now();
        let changed = self.token_cache.take_changed(at);
        let usable = kept.filter(|kept| kept.is_usable(at)).zip(changed);
        let (mut kept, mut changed) = usable.unwrap_or_else(|| (Kept::new(at), Vec::new()));
        kept.used_at = at;
        changed.sort_unstable();
        changed.dedup();
        for ids in changed.chunks(CHANGES_AT_ONCE) {
            let ids = ids.to_vec();
            self.change_index(&mut kept, move |conn, _| read_changed(conn, &ids))
                .await?;
        }
        let mut newest = kept.complete_to;
        loop {
            let read = move |conn: &mut AnyConnection, index: &TokenIndex| read_page(conn, index, newest);
            match self.change_index(&mut kept, read).await? {
                Some(end) => newest = end,
                None => break,
            }
            require_searchable(kept.index.len())?;
        }
        if self.store.creates_in_order() {
            kept.complete_to = newest;
        } else {
            kept.settle(newest, at);
        }
        Ok(kept)
    }

    /// Reads tokens and changes the index. They are read from the primary, because a read replica may lack a change that
    /// was taken. Returns the end of a page.
    async fn change_index(
        &self,
        kept: &mut Kept,
        read: impl FnOnce(&mut AnyConnection, &TokenIndex) -> Result<Changes, StoreError> + Send + 'static,
    ) -> Result<Option<Cursor>, Error> {
        let mut index = std::mem::take(&mut kept.index);
        let (index, is_changed, end) = self
            .store
            .read(move |conn| {
                let Changes { tokens, removed, end } = read(conn, &index)?;
                let is_changed = !(tokens.is_empty() && removed.is_empty());
                if is_changed {
                    index.update(tokens, &removed);
                }
                Ok::<_, Error>((index, is_changed, end))
            })
            .await?;
        kept.index = index;
        kept.last = kept.last.take().filter(|_| !is_changed);
        Ok(end)
    }
}

/// Checks that the index may hold this many tokens.
fn require_searchable(tokens: usize) -> Result<(), Error> {
    if tokens <= MAX_TOKENS {
        return Ok(());
    }
    let message = "more than 10 million tokens cannot be searched; filter by the whole name, owner, or creator";
    Err(Invalid::new("search", message).into())
}

/// What a read found to change in the index.
struct Changes {
    tokens: Vec<(i64, SearchFields)>,
    removed: Vec<TokenId>,
    /// The end of the page, if one was read that is not empty.
    end: Option<Cursor>,
}

/// Reads the tokens with these sorted IDs again.
fn read_changed(conn: &mut AnyConnection, ids: &[TokenId]) -> Result<Changes, StoreError> {
    let tokens = tokens::search_fields_of(conn, ids)?;
    let existing: HashSet<_> = tokens.iter().map(|(_, token)| token.id).collect();
    Ok(Changes {
        removed: ids.iter().filter(|id| !existing.contains(id)).copied().collect(),
        tokens,
        end: None,
    })
}

/// Reads the new tokens of a page.
fn read_page(conn: &mut AnyConnection, index: &TokenIndex, after: Cursor) -> Result<Changes, StoreError> {
    let mut rows = tokens::rows_after(conn, after, PageSize::OF_INDEX)?;
    let end = rows.last().copied().map(Cursor::after);
    // Most rows are known, except while the index is built.
    rows.retain(|row| !index.contains(*row));
    let mut tokens = match (rows.first(), rows.last()) {
        (Some(first), Some(last)) => tokens::search_fields_between(conn, *first, *last)?,
        _ => Vec::new(),
    };
    tokens.retain(|(row, _)| !index.contains(*row));
    Ok(Changes {
        tokens,
        removed: Vec::new(),
        end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token with a smaller number can become visible after the newest one.
    #[test]
    fn recent_tokens_are_read_again_until_no_earlier_one_can_appear() {
        let start = Instant::now();
        let mut kept = Kept::new(start);
        let mut settle = |newest: i64, seconds: u64| {
            kept.settle(Cursor::after(newest), start + Duration::from_secs(seconds));
            kept.complete_to.row()
        };
        assert_eq!(settle(25_000, 0), 15_000);
        assert_eq!(settle(26_000, 59), 15_000);
        assert_eq!(settle(27_000, 60), 25_000);
        assert_eq!(settle(28_000, 119), 25_000);
        assert_eq!(settle(29_000, 120), 27_000);
        assert_eq!(Kept::new(start).complete_to, Cursor::default());
    }

    #[test]
    fn more_than_ten_million_tokens_are_refused() {
        assert!(require_searchable(10_000_000).is_ok());
        assert!(matches!(require_searchable(10_000_001), Err(Error::Invalid(_))));
    }

    #[test]
    fn the_index_is_kept_while_it_is_used_for_an_hour_at_most() {
        let start = Instant::now();
        let mut kept = Kept::new(start);
        assert!(kept.is_usable(start + MAX_IDLE / 2));
        assert!(!kept.is_usable(start + MAX_IDLE));
        kept.used_at = start + MAX_AGE;
        assert!(!kept.is_usable(start + MAX_AGE));
        kept.built_at = start + MAX_IDLE;
        assert!(kept.is_usable(start + MAX_AGE));
    }
}
