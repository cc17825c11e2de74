//! A run's reports as a picture: lines to keep, and one line that moves.
//!
//! The picture depends on the reports alone, not on when they arrive: a run that is attached to
//! again, or read from its log afterwards, looks the same.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::screen::Gauge;
use super::{age, bytes};
use crate::model::event::{Event, EventKind, Phase};

/// The rate is that of the last so many seconds: it follows a change, but does not dance.
const RATE_WINDOW: SignedDuration = SignedDuration::from_secs(10);

/// What is known from the reports so far.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    phase: Option<Phase>,
    step: String,
    amounts: Option<Amounts>,
    samples: VecDeque<(Timestamp, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Amounts {
    done: u64,
    total: u64,
    written: u64,
}

/// A line to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Something was done.
    Step(String),
    /// Something to look at.
    Warning(String),
}

impl Picture {
    /// Takes in a report; returns the line it is worth.
    pub fn take(&mut self, event: &Event) -> Option<Line> {
        if self.phase != Some(event.phase) {
            (self.phase, self.amounts) = (Some(event.phase), None);
            self.samples.clear();
            self.step.clear();
        }
        match &event.kind {
            EventKind::Step { message } => {
                self.step.clone_from(message);
                Some(Line::Step(format!("{}: {message}", word(event.phase))))
            }
            EventKind::Warned { message } => Some(Line::Warning(format!("{}: {message}", word(event.phase)))),
            EventKind::Progress { done_bytes, total_bytes, written_bytes } => {
                self.amounts = Some(Amounts { done: *done_bytes, total: *total_bytes, written: *written_bytes });
                self.sample(event.time, *done_bytes);
                None
            }
            EventKind::Finished => {
                self.amounts = None;
                None
            }
            EventKind::Started
            | EventKind::Ready
            | EventKind::Published { .. }
            | EventKind::Found { .. }
            | EventKind::Failed { .. }
            | EventKind::Unknown => None,
        }
    }

    fn sample(&mut self, time: Timestamp, done: u64) {
        self.samples.push_back((time, done));
        while self.samples.len() > 2
            && self.samples.front().is_some_and(|(at, _)| time.duration_since(*at) > RATE_WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// Bytes per second of late.
    fn rate(&self) -> Option<u64> {
        let ((from, before), (to, after)) = (self.samples.front()?, self.samples.back()?);
        let millis = u128::try_from(to.duration_since(*from).as_millis()).ok().filter(|millis| *millis > 0)?;
        u64::try_from(u128::from(after.saturating_sub(*before)) * 1000 / millis).ok()
    }

    /// The line that moves; `None` before the first report.
    #[must_use]
    pub fn gauge(&self) -> Option<Gauge> {
        let label = word(self.phase?).to_owned();
        let Some(amounts) = self.amounts else { return Some(Gauge { label, text: self.step.clone(), share: None }) };
        Some(Gauge { label, text: self.amounts_text(amounts), share: Some((amounts.done, amounts.total)) })
    }

    /// The moving line where nothing can move: amounts, rate and time left, while bytes go by.
    #[must_use]
    pub fn progress_line(&self) -> Option<String> {
        let amounts = self.amounts?;
        Some(format!("{}: {}", word(self.phase?), self.amounts_text(amounts)))
    }

    fn amounts_text(&self, amounts: Amounts) -> String {
        let Amounts { done, total, written } = amounts;
        // The total is an estimate; once passed, it says nothing any more.
        let left = total.saturating_sub(done);
        let mut parts = vec![bytes::human(done)];
        if left > 0 {
            parts = vec![format!("{}/{}", bytes::human(done), bytes::human(total))];
        }
        if let Some(rate) = self.rate() {
            parts.push(format!("{}/s", bytes::human(rate)));
            if rate > 0 && left > 0 {
                parts.push(format!("ETA {}", age::human(Duration::from_secs(left.div_ceil(rate)))));
            }
        }
        if written > 0 {
            let what = match self.phase {
                Some(Phase::Prove) => "unpacked",
                Some(Phase::Refill) => "copied",
                _ => "stored",
            };
            parts.push(format!("({} {what})", bytes::human(written)));
        }
        parts.join(" ")
    }
}

/// The word for a phase.
#[must_use]
pub fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Isolate => "isolate",
        Phase::Copy => "copy",
        Phase::Record => "record",
        Phase::Verify => "verify",
        Phase::Store => "store",
        Phase::Prove => "prove",
        Phase::Stop => "stop",
        Phase::Refill => "refill",
        Phase::Start => "start",
        Phase::RollBack => "roll back",
        Phase::Unknown => "run",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, second: i64, phase: Phase, kind: EventKind) -> Event {
        let time = Timestamp::from_second(1_700_000_000 + second).unwrap();
        Event { schema: 1, seq, time, phase, runner: None, kind }
    }

    fn progress(done: u64, total: u64) -> EventKind {
        EventKind::Progress { done_bytes: done << 20, total_bytes: total << 20, written_bytes: (done << 20) / 4 }
    }

    #[test]
    fn steps_become_lines_and_bytes_become_a_gauge() {
        let mut picture = Picture::default();
        let step = EventKind::Step { message: "3 replicas are Synced".to_owned() };
        let line = picture.take(&event(1, 0, Phase::Isolate, step));
        assert_eq!(line, Some(Line::Step("isolate: 3 replicas are Synced".to_owned())));
        assert_eq!(picture.progress_line(), None);
        for second in 0..=4 {
            let report = progress(100 * u64::try_from(second).unwrap(), 1000);
            assert_eq!(picture.take(&event(2, second, Phase::Copy, report)), None);
        }
        let line = picture.progress_line().unwrap();
        assert_eq!(line, "copy: 400MiB/0.98GiB 100MiB/s ETA 6s (100MiB stored)");
        assert_eq!(picture.gauge().unwrap().share, Some((400 << 20, 1000 << 20)));
    }

    #[test]
    fn what_is_written_of_a_backup_that_is_proven_is_not_stored() {
        let mut picture = Picture::default();
        picture.take(&event(1, 0, Phase::Prove, progress(100, 100)));
        assert_eq!(picture.progress_line().unwrap(), "prove: 100MiB (25MiB unpacked)");
    }

    #[test]
    fn an_estimate_that_was_too_small_is_dropped_and_a_new_phase_starts_clean() {
        let mut picture = Picture::default();
        picture.take(&event(1, 0, Phase::Copy, progress(1100, 1000)));
        assert_eq!(picture.progress_line().unwrap(), "copy: 1.07GiB (275MiB stored)");
        picture.take(&event(2, 1, Phase::Record, EventKind::Started));
        assert_eq!(picture.progress_line(), None);
    }

    #[test]
    fn an_upload_that_goes_on_after_the_copy_has_a_line_of_its_own() {
        let mut picture = Picture::default();
        picture.take(&event(1, 0, Phase::Copy, progress(1000, 1000)));
        let upload =
            |done: u64| EventKind::Progress { done_bytes: done << 20, total_bytes: 250 << 20, written_bytes: 0 };
        picture.take(&event(2, 1, Phase::Store, upload(200)));
        picture.take(&event(3, 2, Phase::Store, upload(210)));
        assert_eq!(picture.progress_line().unwrap(), "store: 210MiB/250MiB 10MiB/s ETA 4s");
    }

    #[test]
    fn the_rate_follows_a_change_within_seconds() {
        let mut picture = Picture::default();
        for second in 0..60u64 {
            let done = if second < 30 { second * 100 } else { 3000 + (second - 30) * 10 };
            picture.take(&event(second, i64::try_from(second).unwrap(), Phase::Copy, progress(done, 10_000)));
        }
        assert_eq!(picture.rate(), Some(10 << 20));
    }
}
