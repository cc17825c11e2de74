//! The signals that end a conductor early.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;

/// The signals with which Kubernetes, or a person, ends a pod.
pub(super) struct Stopped {
    terminate: Signal,
    interrupt: Signal,
}

impl Stopped {
    /// Installs the handlers. Before anything else: process 1 without one ignores SIGTERM.
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(ExitCode::Error, "cannot listen for signals").with_cause(error.to_string())
            })
        };
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for one of them and names it.
    pub(super) async fn signal(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
