//! What is told of a check: bounded, because it has to fit a termination message.

use std::collections::BTreeSet;

use super::compare::Half;
use super::flaw::Flaw;
use crate::model::backup_id::BackupId;
use crate::model::event::{EventKind, Phase};
use crate::model::order::{CheckOrder, ExpectedBackup, StoreName};
use crate::model::report::{CheckReport, NAMED_UNLISTED, Verdict, Verdicts};
use crate::ports::EventSink;

/// So many wrong files, and so many warnings, are named; all are counted.
const NAMED: usize = 10;

/// What people are told on the way.
pub(super) struct Told<'a> {
    events: &'a dyn EventSink,
    warnings: Vec<String>,
    more: usize,
}

impl<'a> Told<'a> {
    pub(super) fn new(events: &'a dyn EventSink) -> Self {
        Self { events, warnings: Vec::new(), more: 0 }
    }

    /// Tells something that is good to know and no reason to worry.
    pub(super) fn note(&self, message: String) {
        self.events.step(Phase::Verify, message);
    }

    /// Tells something that is wrong although the run goes on.
    pub(super) fn warn(&mut self, message: String) {
        if self.warnings.len() == NAMED {
            self.more += 1;
            return;
        }
        self.events.send(Phase::Verify, EventKind::Warned { message: message.clone() });
        self.warnings.push(message);
    }

    /// Returns the warnings for the outcome.
    pub(super) fn warnings(mut self) -> Vec<String> {
        if self.more > 0 {
            let message = format!("and {} more", self.more);
            self.events.send(Phase::Verify, EventKind::Warned { message: message.clone() });
            self.warnings.push(message);
        }
        self.warnings
    }
}

/// Names a file of a store and what is wrong with it.
pub(super) fn line(store: StoreName, path: &str, flaw: &Flaw) -> String {
    format!("{}: {path}: {}", store.word(), flaw.sentence())
}

/// Puts together what was found in both stores.
pub(super) fn make(order: &CheckOrder, backups: &[ExpectedBackup], local: &Half, s3: &Half) -> CheckReport {
    let bad = bad(order, local, s3);
    let good = good(backups, local, s3);
    let present: BTreeSet<_> = local.present.iter().chain(&s3.present).collect();
    let mut unlisted: Vec<_> = present.into_iter().filter(|backup| !order.known.contains(backup)).cloned().collect();
    unlisted.sort_by(|a, b| (a.name(), a).cmp(&(b.name(), b)));
    unlisted.truncate(NAMED_UNLISTED);
    let verdicts = |half: &Half| Verdicts(half.found.iter().map(|found| found.verdict).collect());
    CheckReport {
        good_count: u32::try_from(good.len()).unwrap_or(u32::MAX),
        good,
        bad_count: u32::try_from(bad.len()).unwrap_or(u32::MAX),
        bad: bad.into_iter().take(NAMED).collect(),
        unlisted,
        local: verdicts(local),
        s3: verdicts(s3),
        ..CheckReport::default()
    }
}

/// Returns the backups that are good wherever they were looked at.
fn good(backups: &[ExpectedBackup], local: &Half, s3: &Half) -> Vec<BackupId> {
    let verdicts = local.found.iter().zip(&s3.found).map(|(local, s3)| [local.verdict, s3.verdict]);
    let is_good = |verdicts: [Verdict; 2]| {
        let mut seen = verdicts.into_iter().filter(|verdict| *verdict != Verdict::Unseen).peekable();
        seen.peek().is_some() && seen.all(Verdict::is_good)
    };
    let good = backups.iter().zip(verdicts).filter(|(_, verdicts)| is_good(*verdicts));
    good.map(|(asked, _)| asked.backup.clone()).collect()
}

/// Names what is wrong and was neither repaired nor set aside.
fn bad(order: &CheckOrder, local: &Half, s3: &Half) -> Vec<String> {
    let strange = order.expected.keys().filter(|path| BackupId::of_path(path).is_none());
    let mut lines: Vec<_> =
        strange.map(|path| format!("{path}: the catalogue's path is not that of a backup's file")).collect();
    let is_alone = order.stores.local.is_none() || order.stores.s3.is_none();
    for (store, half) in [(StoreName::Local, local), (StoreName::S3, s3)] {
        let bad = |verdict| matches!(verdict, Verdict::Damaged | Verdict::Missing);
        for (path, flaw) in half.found.iter().filter(|found| bad(found.verdict)).flat_map(|found| &found.flaws) {
            lines.push(if is_alone { format!("{path}: {}", flaw.sentence()) } else { line(store, path, flaw) });
        }
    }
    lines
}
