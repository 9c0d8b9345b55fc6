//! Signals: SIGTERM and SIGINT stop the server; SIGHUP flushes write-behind records and reloads the
//! certificate.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{RunningServer, SHUTDOWN_SECONDS, StartError};
use crate::view::errors::error_chain;

/// Registers a SIGHUP handler. A signal stays pending until it is handled; without a handler, it
/// would kill the process during startup.
///
/// # Errors
/// If the handler cannot be registered.
pub fn hangups() -> Result<Signal, StartError> {
    Ok(signal(SignalKind::hangup())?)
}

impl RunningServer {
    /// Shuts down gracefully on SIGTERM or SIGINT, and immediately on the second one. On each of
    /// `hangups`, flushes write-behind records and reloads the certificate.
    ///
    /// # Errors
    /// If the handlers cannot be registered.
    pub fn handle_signals(&self, mut hangups: Signal) -> Result<(), StartError> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (handle, force_stop) = (self.handle(), Arc::clone(&self.force_stop));
        actix_web::rt::spawn(async move {
            let mut signaled = async || {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            signaled().await;
            log::info!(
                "shutting down: refusing new connections; requests in flight have {SHUTDOWN_SECONDS} s to finish"
            );
            actix_web::rt::spawn(handle.stop(true));
            signaled().await;
            log::warn!("shutting down immediately: aborting requests in flight");
            force_stop.notify_one();
        });
        let (service, tls) = (Arc::clone(&self.service), self.tls.clone());
        actix_web::rt::spawn(async move {
            while hangups.recv().await.is_some() {
                if let Some(tls) = &tls {
                    tls.reload().await;
                }
                match service.flush().await {
                    Ok(()) => log::info!("flushed on SIGHUP"),
                    Err(error) => log::error!("cannot flush on SIGHUP: {}", error_chain(&error)),
                }
            }
        });
        Ok(())
    }
}
