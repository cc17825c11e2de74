//! Having runners look, one batch after the other, and entering what each of them found.

use super::{Batch, VerifyError, VerifyPlan};
use crate::catalogue;
use crate::errand;
use crate::model::event::{Event, EventKind, Phase};
use crate::model::order::ExpectedBackup;
use crate::model::outcome::{Explain, in_full};
use crate::model::report::{CheckReport, NAMED_BACKUPS, Verdict};
use crate::ports::PortError;
use crate::ports::conductor::ConductorPorts;

/// How many wrong files a report names.
const NAMED_FILES: usize = 5;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// For people, bounded.
    pub report: CheckReport,
    /// For what is decided next, whole.
    pub verdicts: Vec<Judged>,
}

/// What was found of one backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The backup, and where it should be.
    pub asked: ExpectedBackup,
    /// On the volume.
    pub local: Verdict,
    /// In S3.
    pub s3: Verdict,
    /// What is wrong with its files, as far as the runner named it.
    pub bad: Vec<String>,
}

/// Has every batch looked at, and enters the verdicts of each as soon as they are there.
///
/// # Errors
/// A runner could not do its work, or its verdicts not be entered, before anything wrong was found;
/// afterwards that is the news, and the trouble a warning beside it.
pub async fn examine(plan: &VerifyPlan, ports: &ConductorPorts<'_>) -> Result<Examined, VerifyError> {
    let mut whole = Examined::default();
    for batch in &plan.batches {
        match examine_batch(batch, plan, &mut whole, ports).await {
            Err(error) if whole.report.bad_count > 0 => {
                ports.events.send(Phase::Verify, EventKind::Warned { message: in_full(&error) });
                break;
            }
            examined => examined?,
        }
    }
    Ok(whole)
}

async fn examine_batch(
    batch: &Batch,
    plan: &VerifyPlan,
    whole: &mut Examined,
    ports: &ConductorPorts<'_>,
) -> Result<(), VerifyError> {
    let hear = |event: Event| errand::repeat(event, ports);
    let report: CheckReport = errand::run(&batch.runner, plan.start, ports, hear)
        .await
        .map_err(|error| VerifyError::Runner(error.into_failure()))?;
    let verdicts = judge(batch, &report);
    let entered = enter(&verdicts, ports).await;
    whole.add(verdicts, report);
    entered.map_err(VerifyError::Enter)
}

/// Tells the verdicts apart by backup. One the report does not reach was not looked at.
fn judge(batch: &Batch, report: &CheckReport) -> Vec<Judged> {
    let at = |verdicts: &[Verdict], number: usize| verdicts.get(number).copied().unwrap_or(Verdict::Unseen);
    let judged = |(number, asked): (usize, &ExpectedBackup)| {
        let directory = format!("{}/", asked.backup.directory());
        let is_of_it = |line: &&String| line.contains(&directory);
        Judged {
            asked: asked.clone(),
            local: at(&report.local.0, number),
            s3: at(&report.s3.0, number),
            bad: report.bad.iter().filter(is_of_it).cloned().collect(),
        }
    };
    batch.backups.iter().enumerate().map(judged).collect()
}

async fn enter(verdicts: &[Judged], ports: &ConductorPorts<'_>) -> Result<(), PortError> {
    let now = ports.clock.now();
    let entered = catalogue::change(ports, |catalogue| {
        for judged in verdicts {
            catalogue.enter_check(&judged.asked.backup, judged.local, judged.s3, now);
        }
    });
    entered.await.map(drop)
}

impl Examined {
    /// Adds one batch's report to the whole, which stays bounded.
    pub(super) fn add(&mut self, verdicts: Vec<Judged>, batch: CheckReport) {
        let whole = &mut self.report;
        whole.good.extend(batch.good);
        whole.good.truncate(NAMED_BACKUPS);
        whole.good_count += batch.good_count;
        whole.bad.extend(batch.bad);
        whole.bad.truncate(NAMED_FILES);
        whole.bad_count += batch.bad_count;
        whole.repaired_count += batch.repaired_count;
        whole.quarantined_count += batch.quarantined_count;
        // Every runner sees the whole store.
        whole.unlisted = batch.unlisted;
        whole.bytes += batch.bytes;
        self.verdicts.extend(verdicts);
    }
}
