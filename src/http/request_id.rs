//! The id of a request, which its answer and its log lines share.

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::random::{OsRandom, Random};

/// The header of requests and answers.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const MAX_LENGTH: usize = 64;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The id of a request, fit for a header and a log line.
#[derive(Clone, Copy, Debug)]
pub struct RequestId {
    text: [u8; MAX_LENGTH],
    length: usize,
}

impl RequestId {
    /// The id that a client has chosen, if it is fit for a log line, or a new one.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let chosen = headers.get(HEADER).map(HeaderValue::as_bytes);
        chosen
            .filter(|id| is_valid(id))
            .map_or_else(generate, |id| Self::of(&[id]))
    }

    /// The id that these parts make, as far as they fit.
    fn of(parts: &[&[u8]]) -> Self {
        let mut id = Self {
            text: [0; MAX_LENGTH],
            length: 0,
        };
        for part in parts {
            let end = id.length + part.len();
            if let Some(place) = id.text.get_mut(id.length..end) {
                place.copy_from_slice(part);
                id.length = end;
            }
        }
        id
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        let text = self.text.get(..self.length).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }

    /// As the value of a header.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_str(self.as_str()).unwrap_or(HeaderValue::from_static("-"))
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The id of the request that is being handled; `-` outside of any.
pub fn current() -> RequestId {
    CURRENT.try_with(|id| *id).unwrap_or_else(|_| RequestId::of(&[b"-"]))
}

/// Runs `work` as part of the request of that id.
pub async fn scope<T>(id: RequestId, work: impl Future<Output = T>) -> T {
    CURRENT.scope(id, work).await
}

fn is_valid(id: &[u8]) -> bool {
    let fit = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    !id.is_empty() && id.len() <= MAX_LENGTH && id.iter().all(fit)
}

/// An id that no other request of this process has, and hardly one of another.
fn generate() -> RequestId {
    static PROCESS: LazyLock<String> = LazyLock::new(|| {
        let mut bytes = [0; size_of::<u64>()];
        // Without randomness the ids of two processes may be the same, and still tell the requests of each apart.
        let _ = OsRandom.fill(&mut bytes);
        format!("{:016x}-", u64::from_be_bytes(bytes))
    });
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    RequestId::of(&[PROCESS.as_bytes(), itoa::Buffer::new().format(number).as_bytes()])
}
