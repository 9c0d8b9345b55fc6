//! Response bodies that consist of pages.

use actix_web::{HttpResponse, HttpResponseBuilder, web::Bytes};
use futures_util::{StreamExt, stream};

use super::error::ApiError;

/// The text of a page, and the cursor of the next page, if there is one.
pub type PageText<C> = (Bytes, Option<C>);

/// Streams `first` and the pages after it, which `read` returns by their cursors.
///
/// A page is read once the client has taken the previous one, and no connection to the store is
/// held in between. So memory does not grow with the number of pages, and a slow client does not
/// block others.
pub fn stream_pages<C: 'static, F>(
    mut response: HttpResponseBuilder,
    (text, next): PageText<C>,
    read: impl Fn(C) -> F + 'static,
) -> HttpResponse
where
    F: Future<Output = Result<PageText<C>, ApiError>> + 'static,
{
    if next.is_none() {
        return response.body(text);
    }
    let rest = stream::try_unfold(next, move |next| {
        let page = next.map(&read);
        async move {
            match page {
                Some(page) => page.await.map(Some),
                None => Ok(None),
            }
        }
    });
    response.streaming(stream::once(async { Ok(text) }).chain(rest))
}
