//! Response bodies that consist of pages.

use actix_web::{HttpResponse, HttpResponseBuilder, web::Bytes};
use futures_util::{StreamExt, stream};
use tokio::task::JoinSet;

use super::error::ApiError;
use crate::store::StoreError;

/// The text of a page, and the cursor of the next page, if there is one.
pub type PageText<C> = (Bytes, Option<C>);

/// Streams `first` and the pages after it, which `read` returns by their cursors.
///
/// A page is read while the client takes the previous one, and then waits for the client without a connection to the
/// store. So memory does not grow with the number of pages, and a slow client does not block others.
pub fn stream_pages<C: 'static, F>(
    mut response: HttpResponseBuilder,
    (text, next): PageText<C>,
    read: impl Fn(C) -> F + 'static,
) -> HttpResponse
where
    F: Future<Output = Result<PageText<C>, ApiError>> + 'static,
{
    let Some(next) = next else { return response.body(text) };
    // At most one page. The set is dropped with the body and then cancels the read.
    let mut reads = JoinSet::new();
    reads.spawn_local(read(next));
    let rest = stream::try_unfold((reads, read), |(mut reads, read)| async move {
        let Some(page) = reads.join_next().await else {
            return Ok(None);
        };
        let (text, next) = page.map_err(|error| crate::service::Error::from(StoreError::from(error)))??;
        if let Some(next) = next {
            reads.spawn_local(read(next));
        }
        Ok(Some((text, (reads, read))))
    });
    response.streaming(stream::once(async { Ok::<_, ApiError>(text) }).chain(rest))
}
