//! How long the cluster would not serve: from the order to stop until the leader serves.
//!
//! How long servers take to stop, nobody knows beforehand: at least nothing, or as the last time, at most their grace
//! period. How long one takes to start is known of the last restore, or of those that run; how fast data are copied, of
//! the backup itself.

use std::time::Duration;

use super::{Observed, RestorePlan};
use crate::model::bytes;
use crate::model::obligation::ScratchPlace;
use crate::model::report::PredictedOutage;
use crate::model::span;

/// Nobody would wait longer for a server.
const LONGEST_START: Duration = Duration::from_mins(10);

/// What the outage consists of.
pub(super) struct Outage {
    /// Whether it is there already.
    is_there: bool,
    /// How long the servers took to stop the last time.
    stop: Option<Duration>,
    stop_at_most: Duration,
    /// How long one took to start, the last time or when those that run did, and which of these it was.
    start: Option<(Duration, &'static str)>,
    /// How long getting the data into place took the last time.
    place: Option<Duration>,
    /// What has to be copied.
    copied: Option<Copied>,
    /// How long the last one took.
    last: Option<Duration>,
}

#[derive(Clone, Copy)]
struct Copied {
    /// `None` when that is not recorded.
    bytes: Option<u64>,
    /// As long as it takes at the speed of the full backup; `None` when that is not known.
    took: Option<Duration>,
}

impl Outage {
    pub(super) fn of(plan: &RestorePlan, observed: &Observed<'_>) -> Self {
        let last = observed.cluster.last_restore.as_ref();
        let parts = last.and_then(|last| last.report.outage_parts);
        let pace = observed.workload.pace;
        // Of a replica that was not Ready for a while, such as one that was copied, Kubernetes tells when that ended.
        let start = pace.start.filter(|took| *took <= LONGEST_START);
        Self {
            is_there: plan.debt.stood_at_zero,
            stop: parts.map(|parts| Duration::from_millis(parts.stop_millis)),
            stop_at_most: pace.stop_at_most,
            start: parts
                .map(|parts| (Duration::from_millis(parts.start_millis), "the last time"))
                .or(start.map(|took| (took, "as the quickest of those that run"))),
            place: parts.map(|parts| Duration::from_millis(parts.place_millis)),
            copied: matches!(plan.debt.scratch, ScratchPlace::Store(_)).then(|| copied(plan, observed)),
            last: last.map(|last| Duration::from_millis(last.report.outage_millis)),
        }
    }

    /// `None` where it is there already, or where nothing tells how long a part of it takes.
    pub(super) fn predicted(&self) -> Option<PredictedOutage> {
        let copy = self.copied.map_or(Some(self.place.unwrap_or_default()), |copied| copied.took)?;
        let rest = self.start.filter(|_| !self.is_there)?.0 + copy;
        let stop = self.stop.unwrap_or_default();
        Some(PredictedOutage {
            least_seconds: (rest + stop).as_secs(),
            most_seconds: (rest + self.stop_at_most.max(stop)).as_secs(),
        })
    }

    pub(super) fn words(&self) -> String {
        let last = self.last.map(|took| format!("; the last one took {}", span::human(took))).unwrap_or_default();
        if self.is_there {
            return format!("it is there already, and ends with step 5{last}");
        }
        let long = self.predicted().map(|PredictedOutage { least_seconds, most_seconds }| {
            let [from, to] = [least_seconds, most_seconds].map(|seconds| span::human(Duration::from_secs(seconds)));
            format!("about {from} to {to}, ")
        });
        let before = self.stop.map(|took| format!("{} the last time, ", span::human(took))).unwrap_or_default();
        let stop = format!("the servers stop ({before}at most {})", span::human(self.stop_at_most));
        let copied = self.copied.map(|copied| format!(", {}", copied.words())).unwrap_or_default();
        let started = self.start.map(|(took, when)| format!(" ({}, {when})", span::human(took)));
        let (long, started) = (long.unwrap_or_default(), started.unwrap_or_default());
        format!("{long}from step 3 to step 5: {stop}{copied}, one starts{started}{last}")
    }
}

impl Copied {
    fn words(&self) -> String {
        let what = self.bytes.map_or("the data are".to_owned(), |bytes| format!("{} are", bytes::human(bytes)));
        let took = self.took.map(|took| format!(" ({} at the speed of the backup)", span::human(took)));
        format!("{what} copied{}", took.unwrap_or_default())
    }
}

fn copied(plan: &RestorePlan, observed: &Observed<'_>) -> Copied {
    let full = plan.chain.members.first().and_then(|base| observed.catalogue.entry(base));
    // What increments add goes into the files of the full backup, for the most part.
    let bytes = full.as_ref().and_then(|full| full.stream_bytes);
    let bytes = bytes.or_else(|| observed.look_at(&plan.leader.replica.pod).map(|look| look.data_bytes));
    let speed = full.and_then(|full| full.stream_bytes?.checked_div(full.duration_secs?.max(1)));
    let seconds = bytes.zip(speed).map(|(bytes, speed)| bytes.div_ceil(speed.max(1)));
    Copied { bytes, took: seconds.map(Duration::from_secs) }
}
