//! Signals: SIGTERM and SIGINT stop the server, SIGHUP flushes and reloads.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Running, SHUTDOWN_SECONDS, StartError};
use crate::http::observe;

/// Takes SIGHUP from now on. Until it is handled it waits; without this, it would end the process while the server starts.
///
/// # Errors
/// When the system takes no handler.
pub fn hangups() -> Result<Signal, StartError> {
    Ok(signal(SignalKind::hangup())?)
}

impl Running {
    /// Stops the server gracefully at SIGTERM and SIGINT, and at once at the second of them. Flushes what is written behind and
    /// reloads the certificate at each of `hangups`.
    ///
    /// # Errors
    /// When the system takes no handlers.
    pub fn handle_signals(&self, mut hangups: Signal) -> Result<(), StartError> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (handle, hurry) = (self.handle(), Arc::clone(&self.hurry));
        actix_web::rt::spawn(async move {
            let mut signalled = async || {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            signalled().await;
            log::info!("stopping: no new connections, and {SHUTDOWN_SECONDS} s for the requests in flight");
            actix_web::rt::spawn(handle.stop(true));
            signalled().await;
            log::warn!("stopping at once: requests in flight are cut off");
            hurry.notify_one();
        });
        let (service, tls) = (Arc::clone(&self.service), self.tls.clone());
        actix_web::rt::spawn(async move {
            while hangups.recv().await.is_some() {
                if let Some(tls) = &tls {
                    tls.reload();
                }
                match service.flush().await {
                    Ok(()) => log::info!("flushed at SIGHUP"),
                    Err(error) => log::error!("cannot flush at SIGHUP: {}", observe::with_sources(&error)),
                }
            }
        });
        Ok(())
    }
}
