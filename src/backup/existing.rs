//! Phase 1, existing backups: what the catalogue lists is verified before a new one is made.
//!
//! A backup that is good in one store only is worth a warning, and the runner mends the volume from
//! S3 where it can. One that is good nowhere fails the run before anything is touched, or is set
//! aside, as the cluster's settings say. What lies in a store and is not listed, because its run died
//! too early, is entered.

use super::{BackupError, Observed};
use crate::catalogue;
use crate::inventory::{self, InventoryPlan};
use crate::model::backup_id::BackupId;
use crate::model::event::{EventKind, Phase};
use crate::model::order::{OnCorrupt, StoreName};
use crate::model::outcome::Explain;
use crate::model::report::Verdict;
use crate::model::settings::Settings;
use crate::ports::conductor::ConductorPorts;
use crate::verify::{self, Judged, VerifyError};

/// How many backups, and files of theirs, are named; all are counted.
const NAMED: usize = 5;

/// How a backup stands after it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing bad is known of it.
    Good,
    /// It is bad in this store, and not known to be bad in the other.
    Hurt(StoreName),
    /// It is bad wherever it should be, and still lies there.
    Lost,
    /// It was bad wherever it should be, and was set aside.
    SetAside,
}

/// Verifies what is listed; `false` when there was nothing to look at.
///
/// # Errors
/// A backup is good nowhere and the settings do not say to set it aside, or nothing could be said.
pub(super) async fn verify(
    observed: &Observed,
    settings: &Settings,
    job: &str,
    ports: &ConductorPorts<'_>,
) -> Result<bool, BackupError> {
    let Observed { catalogue, cluster, .. } = observed;
    let plan = verify::plan_before_backup(&verify::Inputs { catalogue, settings, cluster, job });
    if plan.batches.is_empty() {
        let message = "the catalogue lists no backup in the stores used, so none is verified";
        ports.events.step(Phase::Verify, message.to_owned());
        return Ok(false);
    }
    ports.events.send(Phase::Verify, EventKind::Started);
    let examined = verify::examine(&plan, ports).await.map_err(BackupError::Existing)?;
    let stand = |wanted: fn(Standing) -> bool| -> Vec<&Judged> {
        examined.verdicts.iter().filter(|judged| wanted(standing(judged))).collect()
    };
    tell_hurt(&stand(|standing| matches!(standing, Standing::Hurt(_))), ports);
    let lost = stand(|standing| standing == Standing::Lost);
    if !lost.is_empty() && settings.on_corrupt == OnCorrupt::Fail {
        return Err(corrupt(&lost));
    }
    let aside = stand(|standing| matches!(standing, Standing::Lost | Standing::SetAside));
    set_aside(&aside, ports).await?;
    let verified = examined.verdicts.len() - aside.len();
    let backups = if verified == 1 { "backup" } else { "backups" };
    let message = format!("verified {verified} existing {backups}, reading {} bytes", examined.report.bytes);
    ports.events.step(Phase::Verify, message);
    adopt(&examined.report.unlisted, &inventory::plan(settings, cluster, job, None), ports).await;
    ports.events.send(Phase::Verify, EventKind::Finished);
    Ok(true)
}

fn standing(judged: &Judged) -> Standing {
    let bad = |verdict| matches!(verdict, Verdict::Damaged | Verdict::Missing);
    if [judged.local, judged.s3].contains(&Verdict::Quarantined) {
        return Standing::SetAside;
    }
    let asked = [(judged.asked.local, judged.local, StoreName::Local), (judged.asked.s3, judged.s3, StoreName::S3)];
    let mut asked = asked.into_iter().filter(|(is_asked, _, _)| *is_asked);
    // A store that could not be asked may still hold a good copy.
    if asked.clone().all(|(_, verdict, _)| bad(verdict)) {
        return Standing::Lost;
    }
    asked.find(|(_, verdict, _)| bad(*verdict)).map_or(Standing::Good, |(_, _, store)| Standing::Hurt(store))
}

fn tell_hurt(hurt: &[&Judged], ports: &ConductorPorts<'_>) {
    let warn = |message| ports.events.send(Phase::Verify, EventKind::Warned { message });
    for judged in hurt.iter().take(NAMED) {
        let Standing::Hurt(store) = standing(judged) else { continue };
        let backup = &judged.asked.backup;
        let what = judged.bad.first().cloned().unwrap_or_else(|| format!("{backup} in {}", store.word()));
        let next = match (store, judged.s3.is_good() || judged.local.is_good()) {
            (StoreName::Local, true) => "the copy in S3 is good; to fetch it: kubectl mariadb-backup sync",
            (StoreName::S3, true) => "the copy on the volume is good; to send it again: kubectl mariadb-backup sync",
            (_, false) => "the other store could not be asked for a good copy",
        };
        warn(format!("backup {backup} is damaged in one store ({what}): {next}"));
    }
    if hurt.len() > NAMED {
        warn(format!(
            "{} more backups are damaged in one store; to see which: kubectl mariadb-backup list",
            hurt.len() - NAMED
        ));
    }
}

fn corrupt(lost: &[&Judged]) -> BackupError {
    BackupError::Corrupt {
        backups: lost.iter().map(|judged| judged.asked.backup.clone()).collect(),
        files: lost.iter().flat_map(|judged| judged.bad.iter().cloned()).take(NAMED).collect(),
    }
}

/// Writes down what nothing may build on any more.
async fn set_aside(aside: &[&Judged], ports: &ConductorPorts<'_>) -> Result<(), BackupError> {
    if aside.is_empty() {
        return Ok(());
    }
    let now = ports.clock.now();
    let marked = catalogue::change(ports, |catalogue| {
        for judged in aside {
            catalogue.quarantine(&judged.asked.backup, now);
        }
    });
    marked.await.map_err(|error| BackupError::Existing(VerifyError::Enter(error)))?;
    let names: Vec<_> = aside.iter().take(NAMED).map(|judged| judged.asked.backup.to_string()).collect();
    let message = format!(
        "{} existing backups are damaged in every store they lie in and were quarantined ({}); to remove one: kubectl mariadb-backup delete BACKUP",
        aside.len(),
        names.join(", ")
    );
    ports.events.send(Phase::Verify, EventKind::Warned { message });
    Ok(())
}

/// Enters what lies whole in a store and is not listed, because its run died before it could.
///
/// A backup more than the catalogue knows harms nobody: what goes wrong here is a warning.
async fn adopt(unlisted: &[BackupId], plan: &InventoryPlan, ports: &ConductorPorts<'_>) {
    if unlisted.is_empty() {
        return;
    }
    let warn = |message| ports.events.send(Phase::Verify, EventKind::Warned { message });
    match inventory::adopt(plan, ports).await {
        Ok(adopted) => {
            for backup in unlisted.iter().filter(|backup| !adopted.contains(backup)) {
                warn(format!("{backup} lies in a store, but is not whole enough to be entered into the catalogue"));
            }
        }
        Err(error) => {
            let failure = error.into_failure();
            let why: Vec<_> = std::iter::once(failure.message).chain(failure.causes).collect();
            let names: Vec<_> = unlisted.iter().take(NAMED).map(ToString::to_string).collect();
            warn(format!(
                "{} backups lie in a store and could not be entered into the catalogue ({}): {}; the next run tries again",
                unlisted.len(),
                names.join(", "),
                why.join(": ")
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::order::ExpectedBackup;

    fn stands(local: Verdict, s3: Verdict) -> Standing {
        let backup = "base/2026-01-01_00-00-00".parse().unwrap();
        standing(&Judged { asked: ExpectedBackup { backup, local: true, s3: true }, local, s3, bad: Vec::new() })
    }

    #[test]
    fn a_backup_is_lost_only_when_every_store_was_asked_and_none_has_it_good() {
        assert_eq!(stands(Verdict::Damaged, Verdict::Missing), Standing::Lost);
        assert_eq!(stands(Verdict::Damaged, Verdict::Unseen), Standing::Hurt(StoreName::Local));
        assert_eq!(stands(Verdict::Damaged, Verdict::Good), Standing::Hurt(StoreName::Local));
        assert_eq!(stands(Verdict::Read, Verdict::Missing), Standing::Hurt(StoreName::S3));
        assert_eq!(stands(Verdict::Repaired, Verdict::Good), Standing::Good);
        assert_eq!(stands(Verdict::Good, Verdict::Unseen), Standing::Good);
        assert_eq!(stands(Verdict::Quarantined, Verdict::Quarantined), Standing::SetAside);
    }
}
