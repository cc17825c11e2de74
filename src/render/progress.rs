//! A run's reports as a picture: lines to keep, and lines that move, one for each runner at work.
//!
//! The picture depends on the reports alone, not on when they arrive: a run that is attached to
//! again, or read from its log afterwards, looks the same. A runner is named only where it is not
//! the only one: alone, the phase says enough.

mod track;

use super::screen::Gauge;
use crate::model::event::{Event, EventKind, Phase};
use track::Track;

/// What is known from the reports so far.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// With what the names of the run's runners begin.
    run: String,
    /// The conductor, and every step that was taken last.
    own: Track,
    /// The runners at work, in the order in which they were first heard of.
    runners: Vec<(String, Track)>,
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
    /// The picture of the run of a Job, before its first report.
    #[must_use]
    pub fn of(job: &str) -> Self {
        Self { run: format!("{job}-"), ..Self::default() }
    }

    /// Takes in a report; returns the line it is worth.
    pub fn take(&mut self, event: &Event) -> Option<Line> {
        match &event.runner {
            None => {
                // A phase takes its runners with it, also those whose end nobody could tell.
                if matches!(event.kind, EventKind::Started | EventKind::Finished | EventKind::Failed { .. }) {
                    self.runners.clear();
                }
                self.own.take(event);
            }
            Some(runner) => self.take_of(runner, event),
        }
        let phase = word(event.phase);
        let before = self.named(event.runner.as_deref()).map_or(phase.to_owned(), |who| format!("{phase}: {who}"));
        match &event.kind {
            EventKind::Step { message } => Some(Line::Step(format!("{before}: {message}"))),
            EventKind::Warned { message } => Some(Line::Warning(format!("{before}: {message}"))),
            _ => None,
        }
    }

    fn take_of(&mut self, runner: &str, event: &Event) {
        let there = self.runners.iter().position(|(name, _)| name == runner);
        if matches!(event.kind, EventKind::Finished | EventKind::Failed { .. }) {
            if let Some(there) = there {
                self.runners.remove(there);
            }
            return;
        }
        let there = there.unwrap_or_else(|| {
            self.runners.push((runner.to_owned(), Track::default()));
            self.runners.len() - 1
        });
        self.runners[there].1.take(event);
        if matches!(event.kind, EventKind::Step { .. }) {
            self.own.take(event);
        }
    }

    /// How a runner is called where it has to be told from others.
    fn named<'a>(&self, runner: Option<&'a str>) -> Option<&'a str> {
        let runner = runner.filter(|_| self.runners.len() > 1)?;
        Some(runner.strip_prefix(&self.run).unwrap_or(runner))
    }

    /// The lines that move: one, or one for each runner where several are at work.
    #[must_use]
    pub fn gauges(&self) -> Vec<Gauge> {
        match self.runners.as_slice() {
            [(_, only)] if only.measures() => only.gauge(None).into_iter().collect(),
            [] | [_] => self.own.gauge(None).into_iter().collect(),
            several => several.iter().filter_map(|(name, track)| track.gauge(self.named(Some(name)))).collect(),
        }
    }

    /// The moving lines where nothing can move: amounts, rate and time left, while bytes go by.
    #[must_use]
    pub fn progress_lines(&self) -> Vec<String> {
        let line = |gauge: Gauge| {
            let who = gauge.who.as_ref().map(|who| format!(": {who}")).unwrap_or_default();
            format!("{}{who}: {}", gauge.label, gauge.whole())
        };
        self.gauges().into_iter().filter(|gauge| gauge.measures).map(line).collect()
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
    use jiff::Timestamp;

    use super::*;

    fn event(seq: u64, second: i64, phase: Phase, kind: EventKind) -> Event {
        let time = Timestamp::from_second(1_700_000_000 + second).unwrap();
        Event { schema: 1, seq, time, phase, runner: None, kind }
    }

    fn of(runner: &str, event: Event) -> Event {
        Event { runner: Some(format!("job-x-{runner}")), ..event }
    }

    fn step(message: &str) -> EventKind {
        EventKind::Step { message: message.to_owned() }
    }

    fn progress(done: u64, total: u64) -> EventKind {
        EventKind::Progress { done_bytes: done << 20, total_bytes: total << 20, written_bytes: (done << 20) / 4 }
    }

    #[test]
    fn steps_become_lines_and_bytes_become_a_gauge() {
        let mut picture = Picture::default();
        let line = picture.take(&event(1, 0, Phase::Isolate, step("3 replicas are Synced")));
        assert_eq!(line, Some(Line::Step("isolate: 3 replicas are Synced".to_owned())));
        assert_eq!(picture.progress_lines(), [""; 0]);
        for second in 0..=4 {
            let report = progress(100 * u64::try_from(second).unwrap(), 1000);
            assert_eq!(picture.take(&event(2, second, Phase::Copy, report)), None);
        }
        assert_eq!(picture.progress_lines(), ["copy: 400MiB/0.98GiB 100MiB/s ETA 6s (100MiB stored)"]);
        assert_eq!(picture.gauges()[0].share, Some((400 << 20, 1000 << 20)));
    }

    #[test]
    fn what_is_written_of_a_backup_that_is_proven_is_not_stored() {
        let mut picture = Picture::default();
        picture.take(&event(1, 0, Phase::Prove, progress(100, 100)));
        assert_eq!(picture.progress_lines(), ["prove: 100MiB (25MiB unpacked)"]);
    }

    #[test]
    fn an_estimate_that_was_too_small_is_dropped_and_a_new_phase_starts_clean() {
        let mut picture = Picture::default();
        picture.take(&event(1, 0, Phase::Copy, progress(1100, 1000)));
        assert_eq!(picture.progress_lines(), ["copy: 1.07GiB (275MiB stored)"]);
        picture.take(&event(2, 1, Phase::Record, EventKind::Started));
        assert_eq!(picture.progress_lines(), [""; 0]);
    }

    #[test]
    fn an_upload_that_goes_on_after_the_copy_has_a_line_of_its_own() {
        let mut picture = Picture::default();
        picture.take(&event(1, 0, Phase::Copy, progress(1000, 1000)));
        let upload =
            |done: u64| EventKind::Progress { done_bytes: done << 20, total_bytes: 250 << 20, written_bytes: 0 };
        picture.take(&event(2, 1, Phase::Store, upload(200)));
        picture.take(&event(3, 2, Phase::Store, upload(210)));
        assert_eq!(picture.progress_lines(), ["store: 210MiB/250MiB 10MiB/s ETA 4s"]);
    }

    #[test]
    fn each_runner_at_work_has_a_line_of_its_own_until_it_ends() {
        let mut picture = Picture::of("job-x");
        let refill = |seq, kind| event(seq, i64::try_from(seq).unwrap(), Phase::Refill, kind);
        picture.take(&event(1, 1, Phase::Start, step("copying to the other volumes: 2")));
        picture.take(&of("fill-3", refill(2, progress(100, 0))));
        assert_eq!(picture.progress_lines(), ["refill: 100MiB (25MiB copied)"], "alone, it needs no name");
        picture.take(&of("fill-5", refill(3, progress(300, 600))));
        picture.take(&of("fill-3", refill(4, progress(140, 0))));
        let two = ["refill: fill-3: 140MiB 20MiB/s (35MiB copied)", "refill: fill-5: 300MiB/600MiB (75MiB copied)"];
        assert_eq!(picture.progress_lines(), two);
        assert_eq!(picture.gauges()[0].share, None, "of what nobody knows the whole of there is no share");
        let line = picture.take(&of("fill-5", refill(5, step("wrote grastate.dat"))));
        assert_eq!(line, Some(Line::Step("refill: fill-5: wrote grastate.dat".to_owned())));
        picture.take(&of("fill-3", refill(6, EventKind::Finished)));
        assert_eq!(picture.progress_lines(), ["refill: 300MiB/600MiB (75MiB copied)"]);
        picture.take(&of("fill-5", refill(7, EventKind::Failed { message: "killed".to_owned() })));
        assert_eq!(picture.progress_lines(), [""; 0]);
    }

    #[test]
    fn what_the_conductor_does_meanwhile_takes_no_runners_line_away() {
        let mut picture = Picture::of("job-x");
        picture.take(&of("runner", event(1, 0, Phase::Store, progress(100, 200))));
        picture.take(&event(2, 1, Phase::Copy, step("one-2 is Ready again")));
        assert_eq!(picture.progress_lines(), ["store: 100MiB/200MiB (25MiB stored)"]);
        picture.take(&event(3, 2, Phase::Copy, EventKind::Finished));
        assert_eq!(picture.progress_lines(), [""; 0], "a phase that is over has nobody at work");
    }
}
