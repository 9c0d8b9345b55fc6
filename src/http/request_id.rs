//! Request IDs, which the response and the log lines of a request share.

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::random::{OsRandom, Random};

/// The header with the ID, in requests and responses.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const MAX_LENGTH: usize = 64;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The ID of a request: 1 to 64 characters that are safe in headers and log lines.
#[derive(Clone, Copy, Debug)]
pub struct RequestId {
    text: [u8; MAX_LENGTH],
    length: usize,
}

impl RequestId {
    /// Returns the ID that the client chose, if it is valid, or generates one.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let chosen = headers.get(HEADER).map(HeaderValue::as_bytes);
        chosen
            .filter(|id| is_valid(id))
            .map_or_else(generate, |id| Self::of(&[id]))
    }

    /// Concatenates parts to an ID. Parts that do not fit are left out.
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

    /// Returns the ID as text.
    pub fn as_str(&self) -> &str {
        let text = self.text.get(..self.length).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }

    /// Returns the ID as a header value.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_str(self.as_str()).unwrap_or(HeaderValue::from_static("-"))
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Returns the ID of the current request, or `-` outside of a request.
pub fn current() -> RequestId {
    CURRENT.try_with(|id| *id).unwrap_or_else(|_| RequestId::of(&[b"-"]))
}

/// Runs `work` in the scope of the request with this ID.
pub async fn scope<T>(id: RequestId, work: impl Future<Output = T>) -> T {
    CURRENT.scope(id, work).await
}

fn is_valid(id: &[u8]) -> bool {
    let fit = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    !id.is_empty() && id.len() <= MAX_LENGTH && id.iter().all(fit)
}

/// Generates an ID that is unique in this process, and almost certainly unique among all processes.
fn generate() -> RequestId {
    static PROCESS: LazyLock<String> = LazyLock::new(|| {
        let mut bytes = [0; size_of::<u64>()];
        // If the random source fails, the prefix is zero: IDs are then unique only within the
        // process.
        let _ = OsRandom.fill(&mut bytes);
        format!("{:016x}-", u64::from_be_bytes(bytes))
    });
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    RequestId::of(&[PROCESS.as_bytes(), itoa::Buffer::new().format(number).as_bytes()])
}
