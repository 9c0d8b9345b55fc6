//! Signals: SIGTERM and SIGINT stop the server; SIGHUP flushes write-behind records and reloads the
//! certificate.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use actix_web::dev::ServerHandle;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use super::{RunningServer, SHUTDOWN_SECONDS, StartError, systemd};
use crate::domain::errors::error_chain;

/// Time for the workers to take over connections that were accepted before a shutdown. Those that
/// still wait for a worker when it stops would be closed.
const HANDOVER_TIME: Duration = Duration::from_millis(100);

/// Registers a SIGHUP handler. A signal stays pending until it is handled; without a handler, it
/// would kill the process during startup.
///
/// # Errors
/// If the handler cannot be registered.
pub fn hangups() -> Result<Signal, StartError> {
    Ok(signal(SignalKind::hangup())?)
}

impl RunningServer {
    /// Shuts down gracefully on SIGTERM or SIGINT: drains, stops accepting connections, and finishes
    /// the requests in flight. A further signal ends the drain, and the one after that aborts the
    /// requests. On each of `hangups`, flushes write-behind records and reloads the certificate.
    ///
    /// # Errors
    /// If the handlers cannot be registered.
    pub fn handle_signals(&self, mut hangups: Signal) -> Result<(), StartError> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (handle, force_stop) = (self.handle(), Arc::clone(&self.force_stop));
        let (state, drain) = (self.state.clone(), self.drain);
        actix_web::rt::spawn(async move {
            let mut signaled = async || {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            signaled().await;
            systemd::notify_stopping("shutting down");
            state.is_draining.store(true, Ordering::Relaxed);
            if !drain.is_zero() {
                log::info!("draining for {drain:?}: /readyz responds with 503, and other requests are served");
                tokio::select! {
                    () = sleep(drain) => {}
                    () = signaled() => {}
                }
            }
            log::info!(
                "shutting down: refusing new connections; requests in flight have {SHUTDOWN_SECONDS} s to finish"
            );
            actix_web::rt::spawn(stop(handle));
            signaled().await;
            log::warn!("shutting down immediately: aborting requests in flight");
            force_stop.notify_one();
        });
        let (service, tls, status) = (Arc::clone(&self.service), self.tls.clone(), self.status());
        actix_web::rt::spawn(async move {
            while hangups.recv().await.is_some() {
                systemd::notify_reloading();
                if let Some(tls) = &tls {
                    tls.reload().await;
                }
                match service.flush().await {
                    Ok(()) => log::info!("flushed on SIGHUP"),
                    Err(error) => log::error!("cannot flush on SIGHUP: {}", error_chain(&error)),
                }
                systemd::notify_ready(&status);
            }
        });
        Ok(())
    }
}

/// Stops a server gracefully. Connections that arrive from now on wait in the backlog of an inherited
/// socket for the next process.
async fn stop(handle: ServerHandle) {
    handle.pause().await;
    sleep(HANDOVER_TIME).await;
    handle.stop(true).await;
}
