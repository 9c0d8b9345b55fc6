//! Reads and follows audit events.

use std::sync::Arc;

use super::{Error, Service, transaction::revalidate_caller};
use crate::{
    domain::{
        audit::{EventCursor, EventFilter, EventOrder, EventPage, RecordedEvent},
        authorization::{Operation, authorize},
        caller::Call,
        page::PageSize,
    },
    store::{
        AnyConnection,
        audit::{self, HighWaterMark},
    },
};

/// How far somebody has come who follows the events.
#[derive(Debug, Default)]
pub struct EventTail {
    /// The number of the last event that they have seen, once they have begun.
    seen: i64,
    watermark: Watermark,
}

/// Finds the number up to which no event can be added any more: an event's number is taken before its transaction ends.
#[derive(Debug, Default)]
struct Watermark {
    /// Earlier moments, each with those who were writing then and still are.
    unsettled: Vec<HighWaterMark>,
}

impl Watermark {
    /// The latest number of a moment whose writers have all ended, if there is a later one than before.
    fn advance(&mut self, mark: HighWaterMark) -> Option<i64> {
        let active_writers = mark.writers.clone();
        self.unsettled.push(mark);
        for earlier in &mut self.unsettled {
            earlier.writers.retain(|writer| active_writers.contains(writer));
        }
        let settled = self.unsettled.iter().rposition(|earlier| earlier.writers.is_empty())?;
        self.unsettled.drain(..=settled).next_back().map(|mark| mark.latest)
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
        order: EventOrder,
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
    pub async fn find_tail_cursor(
        &self,
        call: &Call,
        filter: EventFilter,
        count: u32,
    ) -> Result<Option<EventCursor>, Error> {
        let read = move |conn: &mut AnyConnection| Ok(audit::find_tail_start(conn, &filter, count.into())?);
        self.read_events(call, read).await
    }

    /// Begins to follow the events with the next ones: answers the number of the last one until now, or nothing while that is not certain,
    /// because somebody is about to add an earlier one.
    ///
    /// # Errors
    /// As [`Service::list_events`].
    pub async fn start_tail(&self, call: &Call, tail: &mut EventTail) -> Result<Option<i64>, Error> {
        let mark = self
            .read_events(call, |conn| Ok(audit::read_high_water_mark(conn)?))
            .await?;
        let settled = tail.watermark.advance(mark);
        tail.seen = settled.unwrap_or(tail.seen);
        Ok(settled)
    }

    /// The events that pass `filter` and have come since, in the order of their numbers: each once, in some call. More of them may be there
    /// already when it gives any.
    ///
    /// # Errors
    /// As [`Service::list_events`]; then nothing is lost, and the next call goes on.
    pub async fn poll_tail(
        &self,
        call: &Call,
        filter: EventFilter,
        tail: &mut EventTail,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let mark = self
            .read_events(call, |conn| Ok(audit::read_high_water_mark(conn)?))
            .await?;
        let Some(settled) = tail.watermark.advance(mark) else {
            return Ok(Vec::new());
        };
        let (seen, size) = (tail.seen, PageSize::MAX);
        let read = move |conn: &mut AnyConnection| Ok(audit::find_between(conn, &filter, seen, settled, size)?);
        let events = self.read_events(call, read).await?;
        let all = events.len() < size.get();
        let last = events.last().map(|last| last.id);
        tail.seen = if all { settled.max(seen) } else { last.unwrap_or(seen) };
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
                let caller = revalidate_caller(conn, caller, origin, clock.now())?;
                authorize(&caller, Operation::ReadEvents, None)?;
                read(conn)
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(latest: i64, writers: &[&str]) -> HighWaterMark {
        HighWaterMark {
            latest,
            writers: writers.iter().map(|writer| (*writer).to_owned()).collect(),
        }
    }

    #[test]
    fn events_settle_while_no_transaction_is_open() {
        let mut watermark = Watermark::default();
        assert_eq!(watermark.advance(mark(5, &[])), Some(5));
        assert_eq!(watermark.advance(mark(6, &["a"])), None);
        assert_eq!(watermark.advance(mark(7, &[])), Some(7));
    }

    #[test]
    fn events_settle_once_concurrent_transactions_have_ended() {
        let mut watermark = Watermark::default();
        assert_eq!(watermark.advance(mark(5, &["a", "b"])), None);
        assert_eq!(watermark.advance(mark(6, &["b", "c"])), None);
        assert_eq!(watermark.advance(mark(7, &["c"])), Some(5));
        assert_eq!(watermark.advance(mark(8, &["d"])), Some(7));
        assert_eq!(watermark.advance(mark(9, &[])), Some(9));
    }
}
