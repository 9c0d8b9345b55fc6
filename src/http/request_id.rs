//! The id of a request, which its answer and its log lines share.

use std::{
    io::{Cursor, Write},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::random::{OsRandom, Random};

/// The header of requests and answers.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST: usize = 64;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The id of a request, fit for a header and a log line.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The id that a client has chosen, if it is fit for a log line, or a new one.
    pub fn choose(headers: &HeaderMap) -> Self {
        let chosen = headers.get(HEADER).filter(|id| is_sane(id.as_bytes()));
        Self(chosen.cloned().unwrap_or_else(new))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// As the value of a header.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The id of the request that is being handled; `-` outside of any.
pub fn current() -> RequestId {
    CURRENT
        .try_with(Clone::clone)
        .unwrap_or(RequestId(HeaderValue::from_static("-")))
}

/// Runs `work` as part of the request of that id.
pub async fn scope<T>(id: RequestId, work: impl Future<Output = T>) -> T {
    CURRENT.scope(id, work).await
}

fn is_sane(id: &[u8]) -> bool {
    let fit = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    !id.is_empty() && id.len() <= LONGEST && id.iter().all(fit)
}

/// An id that no other request of this process has, and hardly one of another.
fn new() -> HeaderValue {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| {
        let mut bytes = [0; size_of::<u64>()];
        // Without randomness the ids of two processes may be the same, and still tell the requests of each apart.
        let _ = OsRandom.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    });
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut text = Cursor::new([0; LONGEST]);
    // 16 digits, a hyphen and at most 20 digits always fit.
    let _ = write!(text, "{:016x}-{}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed));
    let length = usize::try_from(text.position()).unwrap_or_default();
    let text = text.get_ref().get(..length).unwrap_or_default();
    HeaderValue::from_bytes(text).unwrap_or(HeaderValue::from_static("-"))
}
