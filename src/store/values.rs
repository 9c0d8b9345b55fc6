//! The thread that looks up values in PostgreSQL. What has come while it waited for an answer is asked together: the way to the server and
//! back takes as long for many as for one.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use tokio::{sync::oneshot, time};

use super::{
    Waiting,
    connection::Pool,
    error::StoreError,
    queue::{Jobs, Queue},
    tokens::{self, OfValue},
};
use crate::domain::value::ValueHash;

/// How many values are asked about together at most.
const MOST_TOGETHER: usize = 100;

/// The thread, and where its questions are put.
#[derive(Clone)]
pub(super) struct Values(Arc<Queue<Question>>);

struct Question {
    value: ValueHash,
    waiting: Waiting,
    reply: oneshot::Sender<Answer>,
}

type Answer = Result<Option<OfValue>, StoreError>;

impl Values {
    /// Starts the thread, which asks on connections of `pool`.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(pool: Pool) -> std::io::Result<Self> {
        let (mut queue, jobs) = Queue::new();
        queue.start("values", move || answer_all(&jobs, &pool))?;
        Ok(Self(Arc::new(queue)))
    }

    /// Whose value that is, if that is known by `deadline`.
    pub(super) async fn find(&self, deadline: Instant, waiting: Waiting, value: ValueHash) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.0.put(Question { value, waiting, reply })?;
        time::timeout_at(deadline.into(), answer)
            .await
            .map_err(|_| StoreError::Slow)?
            .map_err(|_| StoreError::Ending)?
    }
}

fn answer_all(jobs: &Jobs<Question>, pool: &Pool) {
    while let Some(first) = jobs.wait() {
        let others = std::iter::from_fn(|| jobs.take()).take(MOST_TOGETHER - 1);
        let together = std::iter::once(first).chain(others);
        // What panics takes the answers with it, and a connection that the pool throws away.
        let _ = catch_unwind(AssertUnwindSafe(|| answer(together, pool)));
    }
}

fn answer(questions: impl Iterator<Item = Question>, pool: &Pool) {
    let mut asking: HashMap<ValueHash, Vec<oneshot::Sender<Answer>>> = HashMap::new();
    for Question { value, waiting, reply } in questions {
        drop(waiting);
        if !reply.is_closed() {
            asking.entry(value).or_default().push(reply);
        }
    }
    let values: Vec<ValueHash> = asking.keys().copied().collect();
    let mut failure = None;
    let mut found = match pool.read(|conn| tokens::find_by_values(conn, &values)) {
        Ok(found) => found,
        Err(error) => {
            failure = Some(error);
            HashMap::new()
        }
    };
    let failed = failure.is_some();
    for (value, replies) in asking {
        let of_value = found.remove(&value);
        for reply in replies {
            let answer = match &of_value {
                _ if failed => Err(failure.take().unwrap_or(StoreError::Undone)),
                None => Ok(None),
                Some(Ok(found)) => Ok(Some(found.clone())),
                Some(Err(_)) => Err(StoreError::Corrupt("token")),
            };
            // Whoever has given up waiting does not hear of it.
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
        store::{Store, Usage, url::DatabaseUrl},
    };

    fn store(directory: &tempfile::TempDir) -> Store {
        let usage = Usage {
            patience: Duration::from_secs(5),
            keeps_sessions: true,
        };
        let url = DatabaseUrl::Sqlite(directory.path().join("v.db"));
        Store::open(&url, true, usage).unwrap().0
    }

    fn token() -> Token {
        Token::sample(Timestamp::from_micros(1_800_000_000_000_000).unwrap())
    }

    fn value() -> ValueHash {
        TokenValue::generate(&OsRandom).unwrap().hash()
    }

    /// What those are told who ask about `values` together.
    fn ask(store: &Store, values: &[ValueHash]) -> Vec<Answer> {
        let waiting = Arc::default();
        let (questions, answers): (Vec<_>, Vec<_>) = values
            .iter()
            .map(|value| {
                let (reply, answer) = oneshot::channel();
                let (value, waiting) = (*value, Waiting::new(&waiting));
                (Question { value, waiting, reply }, answer)
            })
            .unzip();
        answer(questions.into_iter(), &store.pool);
        answers
            .into_iter()
            .map(|answer| answer.blocking_recv().unwrap())
            .collect()
    }

    #[test]
    fn each_is_told_whose_theirs_is() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let [(one, first), (other, rotated)] = [(token(), value()), (token(), value())];
        let (latest, until) = (value(), one.created.at);
        let insert = |conn: &mut _| {
            tokens::insert(conn, &one, Some(&first))?;
            tokens::insert(conn, &other, Some(&rotated))?;
            tokens::replace_value(conn, &other, &latest, Some(until))
        };
        assert!(store.pool.with(insert).unwrap());
        let answers = ask(&store, &[latest, value(), first, rotated, first]);
        let told: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.unwrap().map(|(token, until)| (token.id, until)))
            .collect();
        let (one, other) = (Some((one.id, None)), other.id);
        assert_eq!(told, [Some((other, None)), None, one, Some((other, Some(until))), one]);
    }

    #[test]
    fn all_are_told_that_the_store_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        directory.close().unwrap();
        let answers = ask(&store, &[value(), value()]);
        assert!(answers.iter().all(Result::is_err), "{}", answers.len());
    }
}
