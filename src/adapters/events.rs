//! Reports as JSON lines.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::model::event::{EVENT_SCHEMA, Event, EventKind, Phase};
use crate::ports::EventSink;

/// So many lines wait for a reader who is slow.
const WAITING_LINES: usize = 256;

/// A line that must not be lost waits this long for its place; then the reader counts as gone.
const PLACE_LIMIT: Duration = Duration::from_secs(2);

/// The lines that still wait at the end are written within this, or given up.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// How often a full queue is looked at again.
const RETRY: Duration = Duration::from_millis(5);

/// So long every progress is told, for bars that move smoothly.
const SMOOTH: Duration = Duration::from_hours(1);

/// How often afterwards. A kubelet keeps 10 MiB of a log before it begins another file, and only the newest is
/// shown: at this pace the log of a whole day, from its first line on, is one file.
const LATER_EVERY: Duration = Duration::from_secs(3);

/// Writes each report as one line, numbered from 1, on a thread of its own.
///
/// A reader who does not read must not hold up a run that owes something to a cluster: progress is
/// left out while the queue is full, any other report waits for a place, but not for long. Of a run of many hours
/// progress is told less often.
/// Dropping it writes what still waits.
pub struct JsonLines {
    inner: Mutex<Inner>,
    /// Told when the writer has ended.
    written: Mutex<Receiver<()>>,
}

struct Inner {
    seq: u64,
    lines: Option<SyncSender<Vec<u8>>>,
    /// Nobody has read for a whole limit: no further report waits.
    stuck: bool,
    pace: Pace,
}

/// Decides which progress is told.
struct Pace {
    begun: Instant,
    /// When it was told last, by runner.
    told: BTreeMap<Option<String>, Instant>,
}

impl Pace {
    fn new(begun: Instant) -> Self {
        Self { begun, told: BTreeMap::new() }
    }

    fn lets(&mut self, runner: Option<&str>, now: Instant) -> bool {
        let runner = runner.map(str::to_owned);
        let is_smooth = now.duration_since(self.begun) < SMOOTH;
        let is_due = self.told.get(&runner).is_none_or(|told| now.duration_since(*told) >= LATER_EVERY);
        if is_smooth || is_due {
            self.told.insert(runner, now);
        }
        is_smooth || is_due
    }
}

impl JsonLines {
    /// Reports go to `out`.
    #[must_use]
    pub fn new(out: impl Write + Send + 'static) -> Self {
        let (lines, waiting) = sync_channel(WAITING_LINES);
        let (end, written) = sync_channel(1);
        thread::spawn(move || {
            write_all(out, &waiting);
            // Nobody asks for it when the limit is over.
            let _unwanted = end.send(());
        });
        let inner = Inner { seq: 0, lines: Some(lines), stuck: false, pace: Pace::new(Instant::now()) };
        Self { inner: Mutex::new(inner), written: Mutex::new(written) }
    }
}

fn write_all(mut out: impl Write, waiting: &Receiver<Vec<u8>>) {
    for line in waiting {
        // A reader that is gone must not stop a run that owes something to a cluster.
        if let Err(error) = out.write_all(&line).and_then(|()| out.flush()) {
            tracing::debug!(%error, "report not delivered");
        }
    }
}

impl Inner {
    /// Puts a line into the queue; `false` when there was no place for it.
    fn put(&mut self, mut line: Vec<u8>, limit: Duration) -> bool {
        let Some(lines) = &self.lines else { return false };
        let begun = Instant::now();
        loop {
            match lines.try_send(line) {
                Ok(()) => {
                    self.stuck = false;
                    return true;
                }
                Err(TrySendError::Full(back)) if !self.stuck && begun.elapsed() < limit => line = back,
                Err(_) => return false,
            }
            thread::sleep(RETRY);
        }
    }
}

impl EventSink for JsonLines {
    fn deliver(&self, runner: Option<&str>, phase: Phase, kind: EventKind) {
        let is_progress = matches!(kind, EventKind::Progress { .. });
        let limit = if is_progress { Duration::ZERO } else { PLACE_LIMIT };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if is_progress && !inner.pace.lets(runner, Instant::now()) {
            return;
        }
        let seq = inner.seq + 1;
        let (time, runner) = (jiff::Timestamp::now(), runner.map(str::to_owned));
        let event = Event { schema: EVENT_SCHEMA, seq, time, phase, runner, kind };
        let mut line = serde_json::to_vec(&event).expect("an event is plain strings and numbers");
        line.push(b'\n');
        if inner.put(line, limit) {
            inner.seq = seq;
        } else if !limit.is_zero() {
            inner.stuck = true;
            tracing::debug!("report not delivered: nobody reads");
        }
    }
}

impl Drop for JsonLines {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        inner.lines = None;
        let limit = if inner.stuck { Duration::ZERO } else { CLOSE_LIMIT };
        let written = self.written.get_mut().unwrap_or_else(PoisonError::into_inner);
        if written.recv_timeout(limit).is_err() {
            tracing::debug!("the last reports are not delivered: nobody reads");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_run_of_many_hours_tells_its_progress_less_often_each_runner_by_itself() {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        let mut told = |runner: Option<&str>, from: Duration, span: Duration| {
            let ticks = u32::try_from(span.as_millis() / 300).unwrap();
            (0..ticks).filter(|tick| pace.lets(runner, begun + from + *tick * Duration::from_millis(300))).count()
        };
        let (minute, hour) = (Duration::from_mins(1), Duration::from_hours(1));
        assert_eq!(told(None, Duration::ZERO, minute), 200);
        assert_eq!(told(None, 2 * hour, minute), 20);
        assert_eq!(told(Some("one"), 2 * hour, minute), 20);
        assert_eq!(told(Some("two"), 2 * hour, minute), 20);
    }

    /// A pipe whose reader sleeps until it is let go.
    #[derive(Clone, Default)]
    struct Pipe {
        lines: Arc<Mutex<Vec<u8>>>,
        asleep: Arc<Mutex<()>>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _awake = self.asleep.lock().unwrap();
            self.lines.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Pipe {
        fn read(&self) -> Vec<Event> {
            let text = String::from_utf8(self.lines.lock().unwrap().clone()).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    const PROGRESS: EventKind = EventKind::Progress { done_bytes: 1, total_bytes: 2, written_bytes: 1 };

    #[test]
    fn all_reports_are_written_in_order_by_the_end() {
        let pipe = Pipe::default();
        let sink = JsonLines::new(pipe.clone());
        for _ in 0..1000 {
            sink.send(Phase::Copy, EventKind::Started);
        }
        drop(sink);
        let seqs: Vec<u64> = pipe.read().iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=1000).collect::<Vec<_>>());
    }

    #[test]
    fn nobody_waits_for_a_reader_who_does_not_read() {
        let pipe = Pipe::default();
        let asleep = Arc::clone(&pipe.asleep);
        let held = asleep.lock().unwrap();
        let sink = JsonLines::new(pipe.clone());
        let begun = Instant::now();
        for _ in 0..10_000 {
            sink.send(Phase::Copy, PROGRESS);
        }
        assert!(begun.elapsed() < PLACE_LIMIT, "progress waits for nobody");
        for _ in 0..10 {
            sink.send(Phase::Copy, EventKind::Finished);
        }
        drop(sink);
        assert!(begun.elapsed() < 3 * PLACE_LIMIT, "one limit for all of them, and none at the end");
        drop(held);
    }

    #[test]
    fn a_report_that_is_no_progress_waits_for_a_reader_who_comes_back() {
        let pipe = Pipe::default();
        let asleep = Arc::clone(&pipe.asleep);
        let held = asleep.lock().unwrap();
        let sink = JsonLines::new(pipe.clone());
        for _ in 0..2 * WAITING_LINES {
            sink.send(Phase::Copy, PROGRESS);
        }
        thread::scope(|scope| {
            scope.spawn(|| sink.send(Phase::Copy, EventKind::Finished));
            thread::sleep(Duration::from_millis(50));
            drop(held);
        });
        drop(sink);
        let last = pipe.read().pop().unwrap();
        assert_eq!((last.kind, last.seq), (EventKind::Finished, pipe.read().len() as u64));
    }
}
