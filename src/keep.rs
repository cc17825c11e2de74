//! Removing backups and copying them between the stores: prune, delete, sync, and the end of a backup.
//!
//! A removal is written into the catalogue before it begins, and the entry goes when it is done: a run
//! that dies between leaves a mark that says what is gone, and the next one finishes it. What is in a
//! store is touched by runners only, and nothing but their reports is trusted.

mod run;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::exit_code::ExitCode;
use crate::model::backup_id::{BackupId, BackupName};
use crate::model::catalogue::{Catalogue, Entry, Presence};
use crate::model::chain;
use crate::model::order::{KeepOrder, ORDER_VERSION, RunnerOrder, RunnerTask, StoreName};
use crate::model::outcome::{Explain, Failure};
use crate::model::report::{Freed, KeepSummary, NAMED_BACKUPS};
use crate::model::retention;
use crate::model::settings::StoresWish;
use crate::ports::PortError;
use crate::ports::conductor::RunnerSpec;
use crate::stores;
pub use crate::stores::Inputs;

pub use run::run;

/// How many backups one runner removes or copies: its order is one argument of a program, and its
/// report a termination message; both have limits.
const BATCH: usize = 50;

/// What is wished for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Remove what retention no longer keeps.
    Prune,
    /// Remove these, and whatever needs them.
    Delete(Vec<BackupId>),
    /// Bring the stores to the same set.
    Sync {
        /// These, with what they build on; all when empty.
        backups: Vec<BackupId>,
        /// To this store only; both ways when missing.
        to: Option<StoreName>,
    },
    /// What is left to do after this backup: retention, and what should be in S3 and is not.
    Finish(BackupId),
}

/// Everything decided.
#[derive(Clone, Debug, PartialEq)]
pub struct KeepPlan {
    /// To remove, children before parents.
    pub remove: Vec<BackupId>,
    /// The room that each of them takes in the stores that are used.
    pub room: BTreeMap<BackupId, Freed>,
    /// To copy to S3, parents before children.
    pub upload: Vec<BackupId>,
    /// To copy to the volume, likewise.
    pub download: Vec<BackupId>,
    /// What was asked for and cannot be done, in sentences.
    pub hopeless: Vec<String>,
    /// What the reader should know beforehand, in sentences.
    pub notices: Vec<String>,
    /// One runner after the other.
    pub batches: Vec<Batch>,
    /// How long a runner may take to start.
    pub start: Duration,
    /// What it means when something could not be done.
    pub on_failure: OnFailure,
}

/// What one runner does.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// What it is told.
    pub order: KeepOrder,
    /// The runner.
    pub runner: RunnerSpec,
}

/// What it means when something could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The run did what it was for; the reader is told.
    Warn,
    /// The run failed.
    Fail,
}

/// Why nothing was done, or not everything.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// No such backup.
    #[error("the catalogue has no backup {0}")]
    NoSuchBackup(BackupId),
    /// Nothing to restore from would be left.
    #[error("refused to delete {0}, the last good full backup")]
    LastGood(BackupId),
    /// There is nothing to bring into line with.
    #[error("the cluster uses one store only ({0})")]
    OneStore(&'static str),
    /// Some of it could not be done.
    #[error("not everything could be done: {}{}", .which.join("; "), and_more(*.more))]
    Undone {
        /// What is left, and why: the first.
        which: Vec<String>,
        /// How many more.
        more: usize,
    },
    /// A runner could not do its work.
    #[error("cannot bring the stores into order: {}", .0.message)]
    Runner(Failure),
    /// Nothing may be removed before the catalogue says so.
    #[error("cannot write down what is to be removed, so nothing was")]
    Bury(#[source] PortError),
    /// What was done is not written down.
    #[error("cannot write down what was done to the stores")]
    Enter(#[source] PortError),
}

fn and_more(more: usize) -> String {
    if more == 0 { String::new() } else { format!("; and {more} more") }
}

impl Explain for KeepError {
    fn code(&self) -> ExitCode {
        match self {
            Self::NoSuchBackup(_) | Self::OneStore(_) => ExitCode::NotFound,
            Self::LastGood(_) => ExitCode::Refused,
            Self::Undone { .. } => ExitCode::FailedInCluster,
            Self::Runner(failure) => failure.code,
            Self::Bury(error) | Self::Enter(error) => match error.code() {
                ExitCode::Error => ExitCode::FailedInCluster,
                code => code,
            },
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchBackup(_) => Some("to see which there are: kubectl mariadb-backup list".to_owned()),
            Self::LastGood(_) => Some("take another one first: kubectl mariadb-backup create".to_owned()),
            Self::OneStore(_) => {
                Some("to use both: kubectl mariadb-backup setup --store both --s3-bucket NAME".to_owned())
            }
            Self::Undone { .. } | Self::Enter(_) => Some("the same command again does what is left".to_owned()),
            Self::Runner(failure) => failure.hint.clone(),
            Self::Bury(error) => error.hint(),
        }
    }

    fn reported(&self) -> Option<&Failure> {
        match self {
            Self::Runner(failure) => Some(failure),
            _ => None,
        }
    }
}

/// Decides what is removed and what is copied where.
///
/// # Errors
/// Refuses what would leave nothing to restore from, and names a backup that is not there.
pub fn plan(inputs: &Inputs<'_>, wish: &Wish) -> Result<KeepPlan, KeepError> {
    let choice = choose(inputs, wish)?;
    Ok(KeepPlan {
        batches: batches(inputs, &choice, wish),
        notices: notices(inputs, &choice),
        room: choice.remove.iter().map(|backup| (backup.clone(), room(inputs, backup))).collect(),
        remove: choice.remove,
        upload: choice.upload,
        download: choice.download,
        hopeless: choice.hopeless,
        start: inputs.settings.start_timeout,
        on_failure: if matches!(wish, Wish::Finish(_)) { OnFailure::Warn } else { OnFailure::Fail },
    })
}

/// The room that a backup takes in the stores that are used: what is not there frees none.
fn room(inputs: &Inputs<'_>, backup: &BackupId) -> Freed {
    let Some(entry) = inputs.catalogue.entry(backup) else { return Freed::default() };
    let lies_in = |store: StoreName| {
        let is_there = matches!(entry.presence(store), Presence::Present | Presence::Damaged);
        is_there && inputs.settings.stores.uses(store)
    };
    let (local, s3) = (lies_in(StoreName::Local), lies_in(StoreName::S3));
    match inputs.catalogue.size_of(backup) {
        Some(bytes) => {
            Freed { local_bytes: if local { bytes } else { 0 }, s3_bytes: if s3 { bytes } else { 0 }, unknown_count: 0 }
        }
        None => Freed { unknown_count: u32::from(local || s3), ..Freed::default() },
    }
}

fn notices(inputs: &Inputs<'_>, choice: &Choice) -> Vec<String> {
    let mut notices = elsewhere(inputs, &choice.remove);
    if choice.later > 0 {
        notices.push(format!("{} more backups are not in S3; the next runs send them", choice.later));
    }
    notices
}

/// Says which of the removed ones also lie where nobody looks now.
fn elsewhere(inputs: &Inputs<'_>, removed: &[BackupId]) -> Vec<String> {
    let unused = match inputs.settings.stores {
        StoresWish::Both => return Vec::new(),
        StoresWish::Local => StoreName::S3,
        StoresWish::S3 => StoreName::Local,
    };
    let lies_there = |backup: &&BackupId| {
        inputs.catalogue.entry(backup).is_some_and(|entry| entry.presence(unused) == Presence::Present)
    };
    let notice = |backup| format!("{backup} stays in the other store ({}), which is not used now", unused.word());
    removed.iter().filter(lies_there).map(notice).collect()
}

/// What is to be done, before it is dealt out to runners.
#[derive(Default)]
struct Choice {
    remove: Vec<BackupId>,
    upload: Vec<BackupId>,
    download: Vec<BackupId>,
    hopeless: Vec<String>,
    /// How many more are to go to S3 that one runner does not take.
    later: usize,
}

fn choose(inputs: &Inputs<'_>, wish: &Wish) -> Result<Choice, KeepError> {
    let Inputs { catalogue, settings, .. } = *inputs;
    let outlived = || retention::plan(catalogue, settings.backups_to_keep, settings.stores);
    match wish {
        Wish::Prune => Ok(Choice { remove: outlived(), ..Choice::default() }),
        Wish::Delete(backups) => {
            Ok(Choice { remove: to_delete(catalogue, backups, settings.stores)?, ..Choice::default() })
        }
        Wish::Sync { backups, to } => to_sync(catalogue, settings.stores, backups, *to),
        Wish::Finish(made) => {
            // With a clock that was set back, the newest backup may well have the oldest name.
            let needed = chain::members(catalogue, made);
            let remove: Vec<_> = outlived().into_iter().filter(|backup| !needed.contains(backup)).collect();
            if settings.stores != StoresWish::Both {
                return Ok(Choice { remove, ..Choice::default() });
            }
            let (upload, later) = owed_to_s3(catalogue, made, &remove);
            Ok(Choice { remove, upload, later, ..Choice::default() })
        }
    }
}

fn to_delete(catalogue: &Catalogue, backups: &[BackupId], stores: StoresWish) -> Result<Vec<BackupId>, KeepError> {
    let mut remove = retention::begun(catalogue);
    for backup in backups {
        if catalogue.entry(backup).is_none() {
            return Err(KeepError::NoSuchBackup(backup.clone()));
        }
        remove.extend(chain::needs(catalogue, backup));
        remove.push(backup.clone());
    }
    let good = retention::good_fulls(catalogue, stores);
    let is_removed = |name: &BackupName| remove.contains(&BackupId::Full(name.clone()));
    match good.last() {
        Some(newest) if good.iter().all(is_removed) => Err(KeepError::LastGood(BackupId::Full(newest.clone()))),
        _ => Ok(retention::children_first(remove)),
    }
}

fn to_sync(
    catalogue: &Catalogue,
    stores: StoresWish,
    backups: &[BackupId],
    to: Option<StoreName>,
) -> Result<Choice, KeepError> {
    match stores {
        StoresWish::Both => {}
        StoresWish::Local => return Err(KeepError::OneStore(StoreName::Local.word())),
        StoresWish::S3 => return Err(KeepError::OneStore(StoreName::S3.word())),
    }
    let mut choice = Choice::default();
    for backup in asked_for(catalogue, backups)? {
        let Some(entry) = catalogue.entry(&backup) else { continue };
        if let Some(trouble) = entry.trouble(StoresWish::Both) {
            choice.hopeless.push(format!("{backup} is {trouble}"));
        } else if lacks(&entry, StoreName::S3) && to != Some(StoreName::Local) {
            choice.upload.push(backup);
        } else if lacks(&entry, StoreName::Local) && to != Some(StoreName::S3) {
            choice.download.push(backup);
        }
    }
    Ok(choice)
}

/// Returns the backups asked for with what they build on, in the order of their names; without any,
/// all that are not set aside.
fn asked_for(catalogue: &Catalogue, backups: &[BackupId]) -> Result<Vec<BackupId>, KeepError> {
    if backups.is_empty() {
        let set_aside = |backup: &BackupId| catalogue.entry(backup).is_some_and(|entry| entry.quarantined.is_some());
        return Ok(catalogue.listed().into_iter().filter(|backup| !set_aside(backup)).collect());
    }
    let mut wanted = BTreeSet::new();
    for backup in backups {
        if !catalogue.entry(backup).is_some_and(|entry| entry.is_listed()) {
            return Err(KeepError::NoSuchBackup(backup.clone()));
        }
        wanted.extend(chain::members(catalogue, backup));
    }
    Ok(catalogue.listed().into_iter().filter(|backup| wanted.contains(backup)).collect())
}

fn lacks(entry: &Entry, store: StoreName) -> bool {
    entry.presence(store) != Presence::Present
}

/// Returns what is not in S3 and can go there: with both stores in use they hold the same set, so what
/// was made before S3 was used goes too. First what a restore of the newest needs, then as much of the
/// other chains, the newest first, as one runner takes; with the number of those left.
fn owed_to_s3(catalogue: &Catalogue, made: &BackupId, removed: &[BackupId]) -> (Vec<BackupId>, usize) {
    let can_go = |backup: &BackupId| {
        let entry = catalogue.entry(backup).filter(Entry::is_usable);
        entry.is_some_and(|entry| entry.local == Presence::Present && lacks(&entry, StoreName::S3))
    };
    let listed = catalogue.listed().into_iter();
    let owed = listed.filter(|backup| !removed.contains(backup) && can_go(backup));
    let needed = chain::members(catalogue, made);
    let (mut first, mut others): (Vec<_>, Vec<_>) = owed.partition(|backup| needed.contains(backup));
    others.sort_by_key(|backup| Reverse(backup.base().unwrap_or(backup.name()).clone()));
    let taken = BATCH.saturating_sub(first.len() + removed.len()).min(others.len());
    let later = others.split_off(taken).len();
    first.extend(others);
    (first, later)
}

/// Deals the work out to runners; a prune starts one in any case, which sweeps what dead runs left.
fn batches(inputs: &Inputs<'_>, choice: &Choice, wish: &Wish) -> Vec<Batch> {
    // Room is made before it is used.
    let remove = choice.remove.iter().map(|backup| (Act::Remove, backup));
    let upload = choice.upload.iter().map(|backup| (Act::Upload, backup));
    let download = choice.download.iter().map(|backup| (Act::Download, backup));
    let acts: Vec<_> = remove.chain(upload).chain(download).collect();
    let mut wanted = inputs.catalogue.on_their_way();
    wanted.retain(|backup| !choice.remove.contains(backup));
    let order = |acts: &[(Act, &BackupId)]| {
        let of = |wanted: Act| acts.iter().filter(move |(act, _)| *act == wanted).map(|(_, backup)| (*backup).clone());
        let copied = of(Act::Upload).chain(of(Act::Download));
        KeepOrder {
            stores: stores::to_write(inputs.settings, inputs.cluster, inputs.catalogue),
            remove: of(Act::Remove).collect(),
            upload: of(Act::Upload).collect(),
            download: of(Act::Download).collect(),
            expected: copied.flat_map(|backup| inputs.catalogue.files_of(&backup)).collect(),
            wanted_uploads: wanted.clone(),
            // A backup has a deadline, and what is behind it is never put above what was just made.
            limit_secs: matches!(wish, Wish::Finish(_)).then(|| inputs.settings.copy_timeout.as_secs()),
        }
    };
    let mut orders: Vec<_> = acts.chunks(BATCH).map(order).collect();
    if orders.is_empty() && *wish == Wish::Prune {
        orders.push(order(&[]));
    }
    let batch = |(number, order)| Batch { runner: runner(inputs, number, &order), order };
    orders.into_iter().enumerate().map(batch).collect()
}

/// What is done with one backup.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Remove,
    Upload,
    Download,
}

fn runner(inputs: &Inputs<'_>, number: usize, order: &KeepOrder) -> RunnerSpec {
    let settings = inputs.settings;
    RunnerSpec {
        name: format!("{}-keep-{number}", inputs.job),
        order: RunnerOrder { version: ORDER_VERSION, task: RunnerTask::Keep(order.clone()) },
        beside: None,
        data: None,
        store_claim: settings.stores.local().then(|| settings.store_claim.clone()),
        s3: stores::mounts(settings),
        scratch: None,
        fresh_store: false,
        near: None,
        operator_secret: None,
        backup_secret: None,
    }
}

impl KeepPlan {
    /// Returns what would be done, for a reader who only asked.
    #[must_use]
    pub fn summary(&self) -> KeepSummary {
        let freed = Some(self.freed(&self.remove));
        KeepSummary { dry_run: true, freed, ..summary(&self.remove, &self.upload, &self.download) }
    }

    /// The room that some of the removed ones took.
    fn freed(&self, removed: &[BackupId]) -> Freed {
        removed.iter().filter_map(|backup| self.room.get(backup)).fold(Freed::default(), |sum, room| sum.and(*room))
    }
}

/// Names the first of each kind, so that the whole stays bounded, and counts all.
fn summary(removed: &[BackupId], uploaded: &[BackupId], downloaded: &[BackupId]) -> KeepSummary {
    let kinds = [removed, uploaded, downloaded].into_iter().filter(|of| !of.is_empty()).count();
    let first = |of: &[BackupId]| of.iter().take(NAMED_BACKUPS / kinds.max(1)).cloned().collect();
    let count = |of: &[BackupId]| u32::try_from(of.len()).unwrap_or(u32::MAX);
    KeepSummary {
        dry_run: false,
        removed: first(removed),
        removed_count: count(removed),
        uploaded: first(uploaded),
        uploaded_count: count(uploaded),
        downloaded: first(downloaded),
        downloaded_count: count(downloaded),
        bytes: 0,
        freed: None,
    }
}
