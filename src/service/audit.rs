//! Reads and follows audit events.

use std::sync::Arc;

use super::{Error, Service, transaction::still_valid};
use crate::{
    domain::{
        audit::{EventCursor, EventFilter, EventPage, Order, RecordedEvent},
        authorization::{Operation, authorize},
        caller::Call,
        page::PageSize,
    },
    store::{
        AnyConnection,
        audit::{self, Tip},
    },
};

/// How far somebody has come who follows the events.
#[derive(Debug, Default)]
pub struct Following {
    /// The number of the last event that they have seen, once they have begun.
    seen: i64,
    settling: Settling,
}

/// Finds the number up to which no event can be added any more: an event's number is taken before its transaction ends.
#[derive(Debug, Default)]
struct Settling {
    /// Earlier moments, each with those who were writing then and still are.
    unsettled: Vec<Tip>,
}

impl Settling {
    /// The latest number of a moment whose writers have all ended, if there is a later one than before.
    fn hear(&mut self, tip: Tip) -> Option<i64> {
        let at_work = tip.writers.clone();
        self.unsettled.push(tip);
        for earlier in &mut self.unsettled {
            earlier.writers.retain(|writer| at_work.contains(writer));
        }
        let settled = self.unsettled.iter().rposition(|earlier| earlier.writers.is_empty())?;
        self.unsettled.drain(..=settled).next_back().map(|tip| tip.latest)
    }
}

impl Service {
    /// A page of the events that pass `filter`.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a token.
    pub async fn list_events(
        &self,
        call: &Call,
        filter: EventFilter,
        order: Order,
        after: Option<EventCursor>,
        size: PageSize,
    ) -> Result<EventPage, Error> {
        let read = move |conn: &mut AnyConnection| Ok(audit::page(conn, &filter, order, after, size)?);
        self.read_events(call, read).await
    }

    /// The place behind which there are the last `count` of the events that pass `filter`, oldest first; nothing when there are not more.
    ///
    /// # Errors
    /// As [`Service::list_events`].
    pub async fn before_the_last_events(
        &self,
        call: &Call,
        filter: EventFilter,
        count: u32,
    ) -> Result<Option<EventCursor>, Error> {
        let read = move |conn: &mut AnyConnection| Ok(audit::before_the_last(conn, &filter, count.into())?);
        self.read_events(call, read).await
    }

    /// Begins to follow the events with the next ones: answers the number of the last one until now, or nothing while that is not certain,
    /// because somebody is about to add an earlier one.
    ///
    /// # Errors
    /// As [`Service::list_events`].
    pub async fn begin_to_follow(&self, call: &Call, following: &mut Following) -> Result<Option<i64>, Error> {
        let tip = self.read_events(call, |conn| Ok(audit::tip(conn)?)).await?;
        let settled = following.settling.hear(tip);
        following.seen = settled.unwrap_or(following.seen);
        Ok(settled)
    }

    /// The events that pass `filter` and have come since, in the order of their numbers: each once, in some call. More of them may be there
    /// already when it gives any.
    ///
    /// # Errors
    /// As [`Service::list_events`]; then nothing is lost, and the next call goes on.
    pub async fn follow_events(
        &self,
        call: &Call,
        filter: EventFilter,
        following: &mut Following,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let tip = self.read_events(call, |conn| Ok(audit::tip(conn)?)).await?;
        let Some(settled) = following.settling.hear(tip) else {
            return Ok(Vec::new());
        };
        let (seen, size) = (following.seen, PageSize::MOST);
        let read = move |conn: &mut AnyConnection| Ok(audit::between(conn, &filter, seen, settled, size)?);
        let events = self.read_events(call, read).await?;
        let all = events.len() < size.get();
        let last = events.last().map(|last| last.id);
        following.seen = if all { settled.max(seen) } else { last.unwrap_or(seen) };
        Ok(events)
    }

    async fn read_events<T: Send + 'static>(
        &self,
        call: &Call,
        read: impl FnOnce(&mut AnyConnection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let clock = Arc::clone(&self.clock);
        let Call { caller, origin } = call.clone();
        self.store
            .read(move |conn| {
                let caller = still_valid(conn, caller, origin, clock.now())?;
                authorize(&caller, Operation::ReadEvents, None)?;
                read(conn)
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tip(latest: i64, writers: &[&str]) -> Tip {
        Tip {
            latest,
            writers: writers.iter().map(|writer| (*writer).to_owned()).collect(),
        }
    }

    #[test]
    fn events_are_settled_when_nobody_writes() {
        let mut settling = Settling::default();
        assert_eq!(settling.hear(tip(5, &[])), Some(5));
        assert_eq!(settling.hear(tip(6, &["a"])), None);
        assert_eq!(settling.hear(tip(7, &[])), Some(7));
    }

    #[test]
    fn events_are_settled_when_those_have_ended_who_wrote_then() {
        let mut settling = Settling::default();
        assert_eq!(settling.hear(tip(5, &["a", "b"])), None);
        assert_eq!(settling.hear(tip(6, &["b", "c"])), None);
        assert_eq!(settling.hear(tip(7, &["c"])), Some(5));
        assert_eq!(settling.hear(tip(8, &["d"])), Some(7));
        assert_eq!(settling.hear(tip(9, &[])), Some(9));
    }
}
