//! Reads audit events and follows new ones.

use super::{Error, Service};
use crate::{
    domain::{
        audit::{EventCursor, EventFilter, EventOrder, EventPage, RecordedEvent},
        authorization::Operation,
        caller::Call,
        page::PageSize,
    },
    store::{
        AnyConnection,
        audit::{self, HighWaterMark},
    },
};

/// The position of a client that follows the audit log.
#[derive(Debug, Default)]
pub struct EventTail {
    /// The number of the last event that was returned or skipped.
    seen: i64,
    watermark: Watermark,
}

/// Determines the number up to which no further event can appear. An event takes its number before
/// its transaction commits, so a smaller number can become visible after a larger one.
#[derive(Debug, Default)]
struct Watermark {
    /// Marks whose writers have not all ended. Each keeps only the writers that are still active.
    unsettled: Vec<HighWaterMark>,
}

impl Watermark {
    /// Adds a mark. Returns the number of the latest mark whose writers have all ended, if there is
    /// a new one.
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
    /// Returns a page of the events that match `filter`.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller is a token.
    pub async fn list_events(
        &self,
        call: &Call,
        filter: EventFilter,
        order: EventOrder,
        after: Option<EventCursor>,
        size: PageSize,
    ) -> Result<EventPage, Error> {
        let check_caller = self.caller_check(call, Operation::ReadAudit);
        self.store
            .list(move |conn| {
                check_caller(conn)?;
                Ok(audit::page(conn, &filter, order, after, size)?)
            })
            .await
    }

    /// Returns the cursor, in a list with the oldest first, just before the last `count` events
    /// that match `filter`. Returns `None` if there are no more than `count`.
    ///
    /// # Errors
    /// Those of [`Service::list_events`].
    pub async fn find_tail_cursor(
        &self,
        call: &Call,
        filter: EventFilter,
        count: u32,
    ) -> Result<Option<EventCursor>, Error> {
        let read = move |conn: &mut AnyConnection| Ok(audit::find_tail_start(conn, &filter, count.into())?);
        self.read_events(call, read).await
    }

    /// Starts following after the last event, and returns its number. Returns `None` while an
    /// active transaction may still add an event with a smaller number; call this again in that
    /// case.
    ///
    /// # Errors
    /// Those of [`Service::list_events`].
    pub async fn start_tail(&self, call: &Call, tail: &mut EventTail) -> Result<Option<i64>, Error> {
        let mark = self
            .read_events(call, |conn| Ok(audit::read_high_water_mark(conn)?))
            .await?;
        let settled = tail.watermark.advance(mark);
        tail.seen = settled.unwrap_or(tail.seen);
        Ok(settled)
    }

    /// Returns new events that match `filter`, in the order of their numbers. Over all calls, each
    /// event is returned exactly once. After a non-empty result, more events may be available
    /// immediately.
    ///
    /// # Errors
    /// Those of [`Service::list_events`]. No event is lost: the next call continues at the same
    /// position.
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
        let check_caller = self.caller_check(call, Operation::ReadAudit);
        self.store
            .read(move |conn| {
                check_caller(conn)?;
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
