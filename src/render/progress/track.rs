//! What one process tells of its work: how far it is, and how fast.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::word;
use crate::model::event::{Event, EventKind, Phase};
use crate::render::screen::Gauge;
use crate::render::{age, bytes};

/// The rate is that of the last so many seconds: it follows a change, but does not dance.
const RATE_WINDOW: SignedDuration = SignedDuration::from_secs(10);

/// One process's part of the picture.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    phase: Option<Phase>,
    step: String,
    amounts: Option<Amounts>,
    samples: VecDeque<(Timestamp, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Amounts {
    done: u64,
    /// 0 where nobody can tell.
    total: u64,
    written: u64,
}

impl Track {
    /// Takes in a report.
    pub(super) fn take(&mut self, event: &Event) {
        if self.phase != Some(event.phase) {
            *self = Self { phase: Some(event.phase), ..Self::default() };
        }
        match &event.kind {
            EventKind::Step { message } => self.step.clone_from(message),
            EventKind::Progress { done_bytes, total_bytes, written_bytes } => {
                self.amounts = Some(Amounts { done: *done_bytes, total: *total_bytes, written: *written_bytes });
                self.sample(event.time, *done_bytes);
            }
            EventKind::Finished => self.amounts = None,
            EventKind::Started
            | EventKind::Warned { .. }
            | EventKind::Ready
            | EventKind::Published { .. }
            | EventKind::Found { .. }
            | EventKind::Counted { .. }
            | EventKind::Said { .. }
            | EventKind::Failed { .. }
            | EventKind::Unknown => {}
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

    /// Whether bytes go by.
    pub(super) fn measures(&self) -> bool {
        self.amounts.is_some()
    }

    /// The line that moves; `None` before the first report.
    pub(super) fn gauge(&self, who: Option<&str>) -> Option<Gauge> {
        let label = word(self.phase?).to_owned();
        let who = who.map(str::to_owned);
        let Some(amounts) = self.amounts else {
            return Some(Gauge { label, who, text: self.step.clone(), aside: None, share: None, measures: false });
        };
        // Of what nobody knows the whole of, no share is known either.
        let share = Some((amounts.done, amounts.total)).filter(|(_, total)| *total > 0);
        let (text, aside) = (self.pace(amounts), self.written(amounts));
        Some(Gauge { label, who, text, aside, share, measures: true })
    }

    /// How much is done, how fast that goes and how long it will take.
    fn pace(&self, Amounts { done, total, .. }: Amounts) -> String {
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
        parts.join(" ")
    }

    /// How much came of it.
    fn written(&self, Amounts { written, .. }: Amounts) -> Option<String> {
        let what = match self.phase {
            Some(Phase::Prove) => "unpacked",
            Some(Phase::Refill) => "copied",
            _ => "stored",
        };
        (written > 0).then(|| format!("({} {what})", bytes::human(written)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_a_change_within_seconds() {
        let mut track = Track::default();
        for second in 0..60u64 {
            let done_bytes = if second < 30 { second * 100 } else { 3000 + (second - 30) * 10 } << 20;
            let kind = EventKind::Progress { done_bytes, total_bytes: 10_000 << 20, written_bytes: 0 };
            let time = Timestamp::from_second(1_700_000_000 + i64::try_from(second).unwrap()).unwrap();
            track.take(&Event { schema: 1, seq: second, time, phase: Phase::Copy, runner: None, kind });
        }
        assert_eq!(track.rate(), Some(10 << 20));
    }
}
