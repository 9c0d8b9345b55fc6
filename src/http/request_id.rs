//! The id of a request, which its answer and its log lines share.

use std::{
    rc::Rc,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use actix_web::http::header::{HeaderMap, HeaderName};

use crate::domain::random::{OsRandom, Random};

/// The header of requests and answers.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST: usize = 64;

tokio::task_local! {
    static CURRENT: Rc<str>;
}

/// The id of the request that is being handled; `-` outside of any.
pub fn current() -> Rc<str> {
    CURRENT.try_with(Rc::clone).unwrap_or_else(|_| "-".into())
}

/// Runs `work` as part of the request of that id.
pub async fn scope<T>(id: Rc<str>, work: impl Future<Output = T>) -> T {
    CURRENT.scope(id, work).await
}

/// The id that a client has chosen, if it is fit for a log line, or a new one.
pub fn choose(headers: &HeaderMap) -> Rc<str> {
    sane(headers).map_or_else(new, Rc::from)
}

fn sane(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(HEADER)?.to_str().ok()?;
    let sane = !id.is_empty()
        && id.len() <= LONGEST
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    sane.then_some(id)
}

/// An id that no other request of this process has, and hardly one of another.
fn new() -> Rc<str> {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| {
        let mut bytes = [0; size_of::<u64>()];
        // Without randomness the ids of two processes may be the same, and still tell the requests of each apart.
        let _ = OsRandom.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    });
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:016x}-{}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed)).into()
}
