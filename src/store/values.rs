//! The thread that looks up token values in PostgreSQL. Lookups that arrive during a query are
//! batched into the next one: a round trip takes as long for many values as for one.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    error::StoreError,
    tokens::TokenByValue,
    worker::{WaitingGuard, Worker, wait_for_reply},
};
use crate::domain::value::ValueHash;

/// Maximum number of values in one query.
const MAX_BATCH: usize = 100;

/// A handle of the thread and its queue.
#[derive(Clone)]
pub(super) struct ValueBatcher(Arc<Worker<ValueQuery>>);

struct ValueQuery {
    value: ValueHash,
    waiting: WaitingGuard,
    reply: oneshot::Sender<Answer>,
}

type Answer = Result<Option<TokenByValue>, StoreError>;
/// The tokens of a batch of values. A malformed row is an error only for its own values.
type FoundTokens = HashMap<ValueHash, Result<TokenByValue, StoreError>>;

impl ValueBatcher {
    /// Starts the thread, which looks up each batch with `find`. Its end is waited for as that of any [`Worker`].
    ///
    /// # Errors
    /// [`std::io::Error`] if the thread cannot be started.
    pub(super) fn start(
        name: &str,
        max_end: Option<Duration>,
        find: impl Fn(&[ValueHash]) -> Result<FoundTokens, StoreError> + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let worker = Worker::start(name, 1, max_end, move |first, backlog| {
            let others = std::iter::from_fn(|| backlog.try_recv()).take(MAX_BATCH - 1);
            answer_batch(std::iter::once(first).chain(others), &find);
        })?;
        Ok(Self(Arc::new(worker)))
    }

    /// Returns the token that this value belongs to.
    ///
    /// # Errors
    /// [`StoreError::Timeout`] if the result is not known by `deadline`.
    pub(super) async fn find(&self, deadline: Instant, waiting: WaitingGuard, value: ValueHash) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.0.push(ValueQuery { value, waiting, reply })?;
        wait_for_reply(deadline, answer).await
    }
}

fn answer_batch(
    queries: impl Iterator<Item = ValueQuery>,
    find: impl FnOnce(&[ValueHash]) -> Result<FoundTokens, StoreError>,
) {
    let mut pending: HashMap<ValueHash, Vec<oneshot::Sender<Answer>>> = HashMap::new();
    for ValueQuery { value, waiting, reply } in queries {
        drop(waiting);
        if !reply.is_closed() {
            pending.entry(value).or_default().push(reply);
        }
    }
    let values: Vec<ValueHash> = pending.keys().copied().collect();
    let mut failure = None;
    let mut found = match find(&values) {
        Ok(found) => found,
        Err(error) => {
            failure = Some(error);
            HashMap::new()
        }
    };
    let failed = failure.is_some();
    for (value, replies) in pending {
        let token_by_value = found.remove(&value);
        for reply in replies {
            let answer = match &token_by_value {
                _ if failed => Err(match failure {
                    Some(StoreError::Replica(fault)) => fault.into(),
                    _ => failure.take().unwrap_or(StoreError::BatchAborted),
                }),
                None => Ok(None),
                Some(Ok(found)) => Ok(Some(found.clone())),
                Some(Err(_)) => Err(StoreError::Corrupt("token")),
            };
            // The receiver was dropped: the caller timed out.
            let _ = reply.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        domain::{clock::Timestamp, random::OsRandom, token::Token, value::TokenValue},
        store::{ConnectionOptions, Store, tokens, url::DatabaseUrl},
    };

    fn store(directory: &tempfile::TempDir) -> Store {
        let options = ConnectionOptions {
            timeout: Duration::from_secs(5),
            keeps_sessions: true,
        };
        let url = DatabaseUrl::Sqlite(directory.path().join("v.db"));
        Store::open(&url, true, options).unwrap().0
    }

    fn token() -> Token {
        Token::sample(Timestamp::from_micros(1_800_000_000_000_000).unwrap())
    }

    fn value() -> ValueHash {
        TokenValue::generate(&OsRandom).unwrap().hash()
    }

    /// Returns the results of looking up `values` in one batch.
    fn ask(store: &Store, values: &[ValueHash]) -> Vec<Answer> {
        let waiting = Arc::default();
        let (queries, answers): (Vec<_>, Vec<_>) = values
            .iter()
            .map(|value| {
                let (reply, answer) = oneshot::channel();
                let (value, waiting) = (*value, WaitingGuard::new(&waiting));
                (ValueQuery { value, waiting, reply }, answer)
            })
            .unzip();
        let find = |values: &[ValueHash]| store.pool.read(|conn| tokens::find_by_values(conn, values));
        answer_batch(queries.into_iter(), find);
        answers
            .into_iter()
            .map(|answer| answer.blocking_recv().unwrap())
            .collect()
    }

    #[test]
    fn each_caller_gets_the_token_of_its_value() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let [(one, first), (other, rotated)] = [(token(), value()), (token(), value())];
        let (latest, until) = (value(), one.created.at);
        let insert = |conn: &mut _| {
            tokens::insert(conn, &one, Some(&first))?;
            tokens::insert(conn, &other, Some(&rotated))?;
            tokens::replace_value(conn, &other, other.version, &latest, Some(until))
        };
        assert!(store.pool.with(insert).unwrap());
        let answers = ask(&store, &[latest, value(), first, rotated, first]);
        let found: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.unwrap().map(|found| (found.token.id, found.valid_until)))
            .collect();
        let (one, other) = (Some((one.id, None)), other.id);
        assert_eq!(found, [Some((other, None)), None, one, Some((other, Some(until))), one]);
    }

    #[test]
    fn every_caller_gets_an_error_when_the_store_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        directory.close().unwrap();
        let answers = ask(&store, &[value(), value()]);
        assert!(answers.iter().all(Result::is_err), "{}", answers.len());
    }
}
