//! The warnings of a run, kept for its outcome.

use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::adapters::events::JsonLines;
use crate::model::command::Places;
use crate::model::event::{EventKind, Phase};
use crate::ports::EventSink;

/// Passes reports on and keeps the warnings among them: they belong into the outcome, which outlives the log.
pub(super) struct KeptWarnings {
    inner: JsonLines,
    warnings: Mutex<Vec<String>>,
    /// Where the commands lead that they name, once that is known.
    about: OnceLock<Places>,
}

impl KeptWarnings {
    /// Passes reports on to `out`.
    pub(super) fn new(out: impl Write + Send + 'static) -> Self {
        Self { inner: JsonLines::new(out), warnings: Mutex::default(), about: OnceLock::new() }
    }

    /// Completes the commands that warnings name from now on, so that they lead there.
    pub(super) fn about(&self, places: &Places) {
        self.about.get_or_init(|| places.clone());
    }

    fn placed(&self, kind: EventKind) -> EventKind {
        match (kind, self.about.get()) {
            (EventKind::Warned { message }, Some(places)) => EventKind::Warned { message: places.placed(&message) },
            (kind, _) => kind,
        }
    }

    /// Whether there was any so far.
    pub(super) fn has_any(&self) -> bool {
        !self.warnings.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Returns the warnings in the order they were given.
    pub(super) fn into_warnings(self) -> Vec<String> {
        self.warnings.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for KeptWarnings {
    fn deliver(&self, runner: Option<&str>, phase: Phase, kind: EventKind) {
        let kind = self.placed(kind);
        if let EventKind::Warned { message } = &kind {
            let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            // What a runner said on the way may come again in its last word.
            if !warnings.contains(message) {
                warnings.push(message.clone());
            }
        }
        self.inner.deliver(runner, phase, kind);
    }
}
