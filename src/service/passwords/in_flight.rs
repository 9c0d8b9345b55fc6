//! Coalesces equal concurrent calls into one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use crate::{
    service::{Error, keyed_hash::KeyedHash},
    store::StoreError,
};

/// Maximum number of calls that wait for one.
const MAX_FOLLOWERS: usize = 2000;

/// The calls in progress, and their results.
pub struct InFlight<T>(Mutex<Cells<T>>);

type Cells<T> = HashMap<KeyedHash, Arc<OnceCell<T>>>;

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> InFlight<T> {
    /// Returns the result of `work`, or of a concurrent call with the same key. If that call fails,
    /// this one runs its own `work`.
    ///
    /// # Errors
    /// Those of `work`; [`Error::Unavailable`] if too many calls are waiting already.
    pub async fn share<W>(&self, key: KeyedHash, work: impl FnOnce() -> W) -> Result<T, Error>
    where
        W: Future<Output = Result<T, Error>>,
    {
        let shared = Shared {
            cell: Arc::clone(self.map().entry(key).or_default()),
            key,
            in_flight: self,
        };
        if Arc::strong_count(&shared.cell) > MAX_FOLLOWERS {
            return Err(Error::Unavailable(StoreError::Busy));
        }
        shared.cell.get_or_try_init(work).await.cloned()
    }
}

impl<T> InFlight<T> {
    fn map(&self) -> std::sync::MutexGuard<'_, Cells<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's reference to a shared result. Dropping the last reference removes it.
struct Shared<'i, T> {
    cell: Arc<OnceCell<T>>,
    key: KeyedHash,
    in_flight: &'i InFlight<T>,
}

impl<T> Drop for Shared<'_, T> {
    fn drop(&mut self) {
        let mut map = self.in_flight.map();
        // Two references: the map's and this one. Clones are only made under the lock, so the count
        // cannot change here.
        if Arc::strong_count(&self.cell) <= 2 {
            map.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::random::OsRandom, service::keyed_hash::KeyedHasher};
    use std::{
        cell::Cell,
        future::pending,
        pin::pin,
        task::{Context, Poll, Waker},
    };
    use tokio::sync::Notify;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn identical_calls_run_once() {
        let (in_flight, worked, end) = (InFlight::<bool>::default(), Cell::new(0), Notify::new());
        let hasher = KeyedHasher::new(&OsRandom).unwrap();
        let work = async || {
            worked.set(worked.get() + 1);
            end.notified().await;
            Ok(true)
        };
        let (same, other) = (hasher.hash(&[b"same"]), hasher.hash(&[b"other"]));
        let mut first = pin!(in_flight.share(same, work));
        let mut second = pin!(in_flight.share(same, work));
        let mut third = pin!(in_flight.share(other, work));
        assert!(poll(first.as_mut()).is_pending());
        assert!(poll(second.as_mut()).is_pending());
        assert_eq!(worked.get(), 1);
        assert!(poll(third.as_mut()).is_pending());
        assert_eq!(worked.get(), 2);
        end.notify_waiters();
        assert!(matches!(poll(first), Poll::Ready(Ok(true))));
        assert!(matches!(poll(second), Poll::Ready(Ok(true))));
        assert!(matches!(poll(third), Poll::Ready(Ok(true))));
        assert!(in_flight.map().is_empty());
    }

    #[tokio::test]
    async fn a_failed_or_dropped_call_hands_over_to_a_waiter() {
        let in_flight = InFlight::<bool>::default();
        let key = KeyedHasher::new(&OsRandom).unwrap().hash(&[b"same"]);
        {
            let mut first = pin!(in_flight.share(key, pending));
            assert!(poll(first.as_mut()).is_pending());
        }
        let failing = in_flight.share(key, async || Err(Error::Unavailable(StoreError::Busy)));
        assert!(failing.await.is_err());
        assert!(in_flight.share(key, async || Ok(true)).await.unwrap());
        assert!(in_flight.map().is_empty());
    }
}
