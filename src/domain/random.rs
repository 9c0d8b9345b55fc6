//! Random sources.

/// The operating system's random source failed.
#[derive(Debug, thiserror::Error)]
#[error("the operating system's random source failed")]
pub struct RandomError(#[from] getrandom::Error);

/// A cryptographically secure random source; tests inject their own.
pub trait Random: Send + Sync {
    /// Fills `bytes` with unpredictable bytes.
    ///
    /// # Errors
    /// Returns [`RandomError`] if the source fails.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError>;
}

/// The operating system's random source.
#[derive(Clone, Copy, Debug)]
pub struct OsRandom;

impl Random for OsRandom {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the system's randomness is read"
    )]
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        Ok(getrandom::fill(bytes)?)
    }
}
