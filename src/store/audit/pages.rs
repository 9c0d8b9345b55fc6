//! Pages of audit events.

use diesel::{BoolExpressionMethods, Connection, ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};

use super::{
    super::{columns::decode, connection::AnyConnection, error::StoreError, schema::audit_events},
    EventRow,
};
use crate::domain::{
    audit::{EventCursor, EventFilter, EventOrder, EventPage, RecordedEvent},
    page::PageSize,
    text::to_nfc,
    token::TokenIdPrefix,
};

/// Returns a page of the events that match `filter`, starting after `after`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn page(
    conn: &mut AnyConnection,
    filter: &EventFilter,
    order: EventOrder,
    after: Option<EventCursor>,
    size: PageSize,
) -> Result<EventPage, StoreError> {
    let page_limit = i64::try_from(size.get() + 1).unwrap_or(i64::MAX);
    let mut query = ordered(filtered(filter), order).limit(page_limit);
    if let Some(EventCursor { at, id }) = after {
        let at = at.micros();
        // Only the first condition gives the index its starting point.
        query = match order {
            EventOrder::NewestFirst => query
                .filter(audit_events::at.le(at))
                .filter(audit_events::at.lt(at).or(audit_events::seq.lt(id))),
            EventOrder::OldestFirst => query
                .filter(audit_events::at.ge(at))
                .filter(audit_events::at.gt(at).or(audit_events::seq.gt(id))),
        };
    }
    let rows: Vec<EventRow> = query.load(conn)?;
    let more = rows.len() > size.get();
    let events = rows.into_iter().take(size.get()).map(EventRow::into_event);
    let events = events.collect::<Result<Vec<_>, _>>()?;
    let next = events.last().filter(|_| more).map(|last| EventCursor {
        at: last.event.at,
        id: last.id,
    });
    Ok(EventPage { events, next })
}

/// Returns the cursor, in a list with the oldest first, just before the last `count` events that
/// match `filter`. Returns `None` if there are no more than `count`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find_tail_start(
    conn: &mut AnyConnection,
    filter: &EventFilter,
    count: i64,
) -> Result<Option<EventCursor>, StoreError> {
    let found: Option<(i64, i64)> = ordered(filtered(filter), EventOrder::NewestFirst)
        .select((audit_events::at, audit_events::seq))
        .offset(count)
        .limit(1)
        .first(conn)
        .optional()?;
    found
        .map(|(at, id)| Ok(EventCursor { at: decode(at)?, id }))
        .transpose()
}

/// Returns at most `size` events that match `filter`, with numbers greater than `behind` and at
/// most `up_to`, in the order of their numbers.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find_between(
    conn: &mut AnyConnection,
    filter: &EventFilter,
    behind: i64,
    up_to: i64,
    size: PageSize,
) -> Result<Vec<RecordedEvent>, StoreError> {
    let rows: Vec<EventRow> = filtered(filter)
        .filter(audit_events::seq.gt(behind).and(audit_events::seq.le(up_to)))
        .order(audit_events::seq.asc())
        .limit(i64::try_from(size.get()).unwrap_or(i64::MAX))
        .load(conn)?;
    rows.into_iter().map(EventRow::into_event).collect()
}

type Query<'a> = audit_events::BoxedQuery<'a, <AnyConnection as Connection>::Backend>;

fn filtered(filter: &EventFilter) -> Query<'_> {
    let EventFilter {
        since,
        until,
        actor,
        token_id,
        token_id_prefix,
        token_name,
        action,
        channel,
    } = filter;
    let mut query = audit_events::table.into_boxed();
    if let Some(since) = since {
        query = query.filter(audit_events::at.ge(since.micros()));
    }
    if let Some(until) = until {
        query = query.filter(audit_events::at.lt(until.micros()));
    }
    if let Some(actor) = actor.as_deref() {
        query = query.filter(audit_events::actor_id.eq(actor));
    }
    if let Some(id) = token_id {
        query = query.filter(audit_events::token_id.eq(id.to_string()));
    }
    if let Some(TokenIdPrefix { first, last }) = token_id_prefix {
        query = query.filter(audit_events::token_id.between(first.to_string(), last.to_string()));
    }
    if let Some(name) = token_name {
        query = query.filter(audit_events::token_name.eq(to_nfc(name).into_owned()));
    }
    if let Some(action) = action {
        query = query.filter(audit_events::action.eq(action.name()));
    }
    if let Some(channel) = channel {
        query = query.filter(audit_events::channel.eq(channel.name()));
    }
    query
}

fn ordered(query: Query<'_>, order: EventOrder) -> Query<'_> {
    match order {
        EventOrder::NewestFirst => query.order((audit_events::at.desc(), audit_events::seq.desc())),
        EventOrder::OldestFirst => query.order((audit_events::at.asc(), audit_events::seq.asc())),
    }
}
