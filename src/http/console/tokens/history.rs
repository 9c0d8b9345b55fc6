//! The last audit events of a token.

use crate::{
    domain::{
        audit::{EventFilter, EventOrder, RecordedEvent},
        caller::Call,
        page::PageSize,
        token::TokenId,
    },
    http::{
        console::{
            audit::row::{EventRow, unnamed_tokens},
            layout::Layout,
            texts::audit,
        },
        error::ApiError,
    },
    service::Service,
};

/// Maximum number of events on the page.
const MAX_SHOWN: usize = 10;

/// Reads the last events of a token, the newest first.
///
/// # Errors
/// 403 if the caller may not read the audit log.
pub async fn read(service: &Service, call: &Call, id: TokenId) -> Result<Vec<RecordedEvent>, ApiError> {
    let filter = EventFilter {
        token_id: Some(id),
        ..EventFilter::default()
    };
    let (order, size) = (EventOrder::NewestFirst, PageSize::default());
    let page = service.list_events(call, filter, order, None, size).await?;
    Ok(page.events)
}

/// Returns the rows of the first events.
///
/// # Errors
/// 403 if the caller may not read the audit log.
pub async fn rows(
    service: &Service,
    call: &Call,
    events: &[RecordedEvent],
    layout: &Layout,
) -> Result<Vec<EventRow>, ApiError> {
    let shown = events.get(..MAX_SHOWN).unwrap_or(events);
    let names = service.find_token_names(call, unnamed_tokens(shown)).await?;
    let texts = layout.language.choose(&audit::ENGLISH, &audit::KOREAN);
    let rows = shown.iter().map(|event| EventRow::new(event, &names, layout, texts));
    Ok(rows.collect())
}
