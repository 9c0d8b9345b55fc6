//! Permits to hash a password, one per core, each with its own argon2 memory.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::hashing::Memory;
use crate::{service::Error, store::StoreError};

/// Maximum time that a login waits for a permit.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Maximum number of waiting logins, in total, and per network and priority.
const MAX_WAITING: usize = 1000;
const MAX_WAITING_PER_NETWORK: usize = 16;
/// One permit in this many goes to the lowest priority first, so that it is not starved.
const LOWEST_FIRST_EVERY: usize = 4;
/// Time for which the memory of an idle permit is kept for the next login.
const MAX_IDLE: Duration = Duration::from_mins(1);
/// `Retry-After` for a network with too many waiting logins.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The client's IPv4 address or IPv6 /64; `None` if it is unknown.
type Network = Option<IpAddr>;

/// The order in which waiting logins get permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A name that signed in from this network recently.
    Known,
    /// A network without failures, for one of its logins at a time.
    Clean,
    /// All other logins.
    Suspect,
}

/// The permits and the logins that wait for one. The networks of a priority take turns.
pub struct Permits {
    max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<Idle>,
    /// The number of permits, idle or in use. The memory of each is allocated on first use.
    created: usize,
    waiting: [Queues; 3],
    granted: usize,
    last_id: u64,
}

/// The memory of a permit that is not in use.
struct Idle {
    memory: Memory,
    /// When [`Permits::free_idle_memory`] first found the permit idle.
    since: Option<Instant>,
}

/// The waiting logins of one priority, by network.
#[derive(Default)]
struct Queues {
    by_network: HashMap<Network, VecDeque<Waiter>>,
    turns: VecDeque<Network>,
    len: usize,
}

struct Waiter {
    id: u64,
    sender: oneshot::Sender<Permit>,
}

/// The right to hash one password.
pub struct Permit {
    memory: Option<Memory>,
    permits: Arc<Permits>,
}

impl Permits {
    /// Creates `max` permits.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            state: Mutex::default(),
        }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// [`Error::TooManyLogins`] if too many logins from this network are waiting;
    /// [`Error::Unavailable`] after ten seconds.
    pub async fn acquire(self: &Arc<Self>, network: Network, priority: Priority) -> Result<Permit, Error> {
        let (sender, receiver) = oneshot::channel();
        let _slot = {
            let mut state = self.state();
            if let Some(memory) = state.take_memory(self.max) {
                return Ok(self.permit(memory));
            }
            let (id, priority) = state.enqueue(network, priority, sender)?;
            QueueSlot {
                permits: self,
                network,
                priority,
                id,
            }
        };
        match tokio::time::timeout(MAX_WAIT, receiver).await {
            Ok(Ok(permit)) => Ok(permit),
            // A login from another network replaced this one in the queue.
            Ok(Err(_)) => Err(too_many_logins()),
            Err(_) => Err(Error::Unavailable(StoreError::Busy)),
        }
    }

    /// Frees the memory of permits that were idle for a minute. Call this every few seconds: a
    /// permit counts as idle from the first call that finds it idle.
    pub fn free_idle_memory(&self, now: Instant) {
        let unused = self.state().take_unused(now);
        // Unmapping takes about a millisecond, so it happens without the lock.
        drop(unused);
    }

    fn permit(self: &Arc<Self>, memory: Memory) -> Permit {
        Permit {
            memory: Some(memory),
            permits: Arc::clone(self),
        }
    }

    fn release(self: &Arc<Self>, memory: Memory) {
        let mut state = self.state();
        let mut permit = self.permit(memory);
        while let Some(waiter) = state.next() {
            match waiter.sender.send(permit) {
                Ok(()) => return,
                // The receiver was dropped: the caller timed out.
                Err(returned) => permit = returned,
            }
        }
        state
            .idle
            .extend(permit.memory.take().map(|memory| Idle { memory, since: None }));
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Runs `work` with the permit's memory.
    pub fn with_memory<T>(mut self, work: impl FnOnce(&mut Memory) -> T) -> T {
        work(self.memory.get_or_insert_default())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.permits.release(memory);
        }
    }
}

fn too_many_logins() -> Error {
    Error::TooManyLogins {
        retry_after: RETRY_AFTER,
    }
}

impl State {
    /// Takes idle memory, the most recently used first, or creates one. Returns `None` if all
    /// permits are in use.
    fn take_memory(&mut self, max: usize) -> Option<Memory> {
        if let Some(idle) = self.idle.pop() {
            return Some(idle.memory);
        }
        (self.created < max).then(|| {
            self.created += 1;
            Memory::default()
        })
    }

    /// Takes the memory that was idle for [`MAX_IDLE`] at `now`. Its permits allocate new memory on
    /// their next use.
    fn take_unused(&mut self, now: Instant) -> Vec<Memory> {
        let mut unused = Vec::new();
        for idle in &mut self.idle {
            let since = *idle.since.get_or_insert(now);
            if now.saturating_duration_since(since) >= MAX_IDLE {
                unused.push(std::mem::take(&mut idle.memory));
            }
        }
        unused
    }

    /// Adds a login to the queue. Returns its number and its effective priority.
    fn enqueue(
        &mut self,
        network: Network,
        priority: Priority,
        sender: oneshot::Sender<Permit>,
    ) -> Result<(u64, Priority), Error> {
        let priority = match priority {
            Priority::Clean if self.queues(Priority::Clean).waiting_from(network) > 0 => Priority::Suspect,
            other => other,
        };
        let from_network = self.queues(priority).waiting_from(network);
        if from_network >= MAX_WAITING_PER_NETWORK {
            return Err(too_many_logins());
        }
        let total: usize = self.waiting.iter().map(|queues| queues.len).sum();
        if total >= MAX_WAITING {
            self.evict(priority, from_network)?;
        }
        self.last_id += 1;
        let id = self.last_id;
        self.queues(priority).push(network, Waiter { id, sender });
        Ok((id, priority))
    }

    /// Evicts a waiting login of lower priority, or of a network that has more logins waiting.
    ///
    /// # Errors
    /// [`Error::TooManyLogins`] if there is no such login.
    fn evict(&mut self, priority: Priority, from_network: usize) -> Result<(), Error> {
        let lowest = [Priority::Suspect, Priority::Clean, Priority::Known].into_iter();
        let lowest = lowest
            .filter(|lowest| *lowest >= priority)
            .find(|lowest| self.queues(*lowest).len > 0);
        let fair_share = lowest.map(|lowest| if lowest > priority { 0 } else { from_network + 1 });
        let removed = lowest
            .zip(fair_share)
            .is_some_and(|(lowest, share)| self.queues(lowest).shorten(share));
        if removed { Ok(()) } else { Err(too_many_logins()) }
    }

    /// Removes and returns the next login.
    fn next(&mut self) -> Option<Waiter> {
        self.granted = self.granted.wrapping_add(1);
        let [known, clean, suspect] = &mut self.waiting;
        let order = if self.granted.is_multiple_of(LOWEST_FIRST_EVERY) {
            [suspect, clean, known]
        } else {
            [known, clean, suspect]
        };
        order.into_iter().find_map(Queues::pop)
    }

    fn queues(&mut self, priority: Priority) -> &mut Queues {
        let [known, clean, suspect] = &mut self.waiting;
        match priority {
            Priority::Known => known,
            Priority::Clean => clean,
            Priority::Suspect => suspect,
        }
    }
}

impl Queues {
    fn waiting_from(&self, network: Network) -> usize {
        self.by_network.get(&network).map_or(0, VecDeque::len)
    }

    fn push(&mut self, network: Network, waiter: Waiter) {
        let queue = self.by_network.entry(network).or_default();
        if queue.is_empty() {
            self.turns.push_back(network);
        }
        queue.push_back(waiter);
        self.len += 1;
    }

    fn pop(&mut self) -> Option<Waiter> {
        let network = self.turns.pop_front()?;
        let queue = self.by_network.get_mut(&network)?;
        let waiter = queue.pop_front()?;
        self.len -= 1;
        if queue.is_empty() {
            self.by_network.remove(&network);
        } else {
            self.turns.push_back(network);
        }
        Some(waiter)
    }

    /// Evicts the last login of the longest queue if that queue is longer than `share`. Returns
    /// `false` if it is not.
    fn shorten(&mut self, share: usize) -> bool {
        let longest = self.by_network.iter().max_by_key(|(_, queue)| queue.len());
        let Some((network, _)) = longest.filter(|(_, queue)| queue.len() > share) else {
            return false;
        };
        let network = *network;
        self.remove(network, |queue| {
            queue.pop_back();
        });
        true
    }

    fn remove(&mut self, network: Network, remove: impl FnOnce(&mut VecDeque<Waiter>)) {
        let Some(queue) = self.by_network.get_mut(&network) else {
            return;
        };
        let before = queue.len();
        remove(queue);
        self.len -= before - queue.len();
        if queue.is_empty() {
            self.by_network.remove(&network);
            self.turns.retain(|turn| *turn != network);
        }
    }
}

/// A login's place in a queue. Dropping it removes the login from the queue.
struct QueueSlot<'p> {
    permits: &'p Permits,
    network: Network,
    priority: Priority,
    id: u64,
}

impl Drop for QueueSlot<'_> {
    fn drop(&mut self) {
        let mut state = self.permits.state();
        let id = self.id;
        state
            .queues(self.priority)
            .remove(self.network, |queue| queue.retain(|waiter| waiter.id != id));
    }
}

#[cfg(test)]
mod tests;
