//! Reports as JSON lines.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use crate::model::event::{EVENT_SCHEMA, Event, EventKind, Phase};
use crate::ports::EventSink;

/// Writes each report as one line, numbered from 1.
pub struct JsonLines {
    inner: Mutex<(u64, Box<dyn Write + Send>)>,
}

impl JsonLines {
    /// Reports go to `out`.
    #[must_use]
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self { inner: Mutex::new((0, Box::new(out))) }
    }
}

impl EventSink for JsonLines {
    fn send(&self, phase: Phase, kind: EventKind) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0 += 1;
        let event = Event { schema: EVENT_SCHEMA, seq: inner.0, time: jiff::Timestamp::now(), phase, kind };
        let mut line = serde_json::to_vec(&event).expect("an event is plain strings and numbers");
        line.push(b'\n');
        // A reader that is gone must not stop a run that owes something to a cluster.
        if let Err(error) = inner.1.write_all(&line).and_then(|()| inner.1.flush()) {
            tracing::debug!(%error, "report not delivered");
        }
    }
}
