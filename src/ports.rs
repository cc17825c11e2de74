//! What we need of the world, as small traits in our own words.
//!
//! [`conductor`] is what the agent in the Job needs, [`runner`] what the agent beside a volume
//! needs. Adapters implement them; tests put a simulated world behind them.

pub mod conductor;
pub mod monitor;
pub mod prove;
pub mod refill;
pub mod restore;
pub mod runner;

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::exit_code::ExitCode;
use crate::model::event::{EventKind, Phase};
use crate::model::outcome::Explain;

/// Why a port could not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// What was asked for is not there.
    Missing,
    /// The caller lacks a right.
    Forbidden,
    /// Somebody else was faster, or holds it.
    Conflict,
    /// Nobody answers.
    Unreachable,
    /// A user name, password or key was not accepted.
    Credentials,
    /// It took too long.
    TimedOut,
    /// There is no room.
    NoSpace,
    /// What is there makes no sense.
    Malformed,
    /// Anything else.
    Other,
}

/// An error at the border to the world.
#[derive(Debug)]
pub struct PortError {
    /// What kind of trouble it is.
    pub reason: Reason,
    /// What was tried, on what; no full stop.
    what: String,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl PortError {
    /// Makes an error that says what was tried on what.
    #[must_use]
    pub fn new(reason: Reason, what: impl Into<String>) -> Self {
        Self { reason, what: what.into(), hint: None, source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds the next thing to type or look at.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for PortError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl Explain for PortError {
    fn code(&self) -> ExitCode {
        match self.reason {
            Reason::Credentials => ExitCode::Credentials,
            Reason::Missing
            | Reason::Forbidden
            | Reason::Conflict
            | Reason::Unreachable
            | Reason::TimedOut
            | Reason::NoSpace
            | Reason::Malformed
            | Reason::Other => ExitCode::Error,
        }
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// The time, and waiting for it.
#[async_trait::async_trait]
pub trait Clock: Send + Sync {
    /// The present moment, for records. It can be set back and forth: no limit may go by it.
    fn now(&self) -> jiff::Timestamp;
    /// The time since some moment before the first call, which nobody can set: what limits go by.
    fn elapsed(&self) -> Duration;
    /// Returns after `time`.
    async fn sleep(&self, time: Duration);
}

/// Where reports go. Sending never fails: a report that cannot be delivered must not stop a run.
pub trait EventSink: Send + Sync {
    /// Sends one event, of a runner where one is named, else of the sender itself.
    fn deliver(&self, runner: Option<&str>, phase: Phase, kind: EventKind);

    /// Sends one event of the sender itself.
    fn send(&self, phase: Phase, kind: EventKind) {
        self.deliver(None, phase, kind);
    }

    /// Tells what a tool that failed wrote last.
    fn said(&self, phase: Phase, by: &str, lines: Vec<String>) {
        for line in lines {
            self.send(phase, EventKind::Said { by: by.to_owned(), line });
        }
    }

    /// Says that a step was taken.
    fn step(&self, phase: Phase, message: String) {
        self.send(phase, EventKind::Step { message });
    }
}
