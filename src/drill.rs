//! The drill: a stored backup is booted in a throwaway pod, before the day it is needed.
//!
//! The plan chooses the backup, from which store each member of its chain is taken, and where it is
//! unpacked; one runner does all of it and leaves nothing. The cluster itself is never touched.

use std::time::Duration;

use crate::errand;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::{Catalogue, Presence};
use crate::model::chain::{self, BrokenChain};
use crate::model::event::{Event, EventKind, Phase};
use crate::model::names::{BACKUP_CREDENTIALS, CONDUCTOR_CREDENTIALS, SCRATCH_VOLUME_PATH, STORE_PATH};
use crate::model::order::{DrillRequest, ORDER_VERSION, ProveOrder, RunnerOrder, RunnerTask, StoreName};
use crate::model::outcome::{Explain, Failure};
use crate::model::report::{DrillReport, ProveReport};
use crate::model::settings::StoresWish;
use crate::ports::conductor::{ConductorPorts, RunnerSpec, ScratchVolume};
use crate::stores;
pub use crate::stores::Inputs;

/// What an unpacked backup grows by while it is prepared and served: logs, temporary tables.
const GROWTH_BYTES: u64 = 1 << 30;

/// How long the booted server may take to answer: recovery of what was prepared takes next to nothing.
const BOOT_LIMIT: Duration = Duration::from_mins(10);

/// A drill with every choice made.
#[derive(Clone, Debug, PartialEq)]
pub struct DrillPlan {
    /// The chain of the backup, its base first.
    pub chain: Vec<BackupId>,
    /// Where each of them is taken from.
    pub from: Vec<StoreName>,
    /// The runner.
    pub runner: RunnerSpec,
    /// How long it may take to start.
    pub start: Duration,
    /// How long it may show no sign of work: preparing says nothing for long.
    pub patience: Duration,
}

/// Why a backup was not booted.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// There is none.
    #[error("the catalogue has no full backup that can be relied on")]
    NoBackup,
    /// No such backup.
    #[error("the catalogue has no backup {0}")]
    NoSuchBackup(BackupId),
    /// It cannot be put together.
    #[error("backup {backup} cannot be restored")]
    Broken {
        /// The backup.
        backup: BackupId,
        /// The first member of its chain that cannot be relied on.
        #[source]
        source: BrokenChain,
    },
    /// A member is not in the store that was asked for, or that is used.
    #[error("{member}, which {backup} needs, is not in {place}")]
    NotThere {
        /// The backup.
        backup: BackupId,
        /// The member of its chain.
        member: BackupId,
        /// The stores looked at, in words.
        place: &'static str,
    },
    /// Nobody knows how much room it takes.
    #[error("it is not recorded how large {0} is when it is unpacked, so no volume can be made for it")]
    UnknownSize(BackupId),
    /// It was not booted, or is not what it should be.
    #[error("the drill failed: {}", .0.message)]
    Runner(Failure),
}

impl Explain for DrillError {
    fn code(&self) -> ExitCode {
        match self {
            Self::NoBackup | Self::NoSuchBackup(_) | Self::NotThere { .. } => ExitCode::NotFound,
            Self::Broken { .. } => ExitCode::VerificationFailed,
            Self::UnknownSize(_) => ExitCode::Refused,
            Self::Runner(failure) => failure.code,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoBackup => Some("take one: kubectl mariadb-backup create".to_owned()),
            Self::NoSuchBackup(_) | Self::Broken { .. } => Some("see kubectl mariadb-backup list".to_owned()),
            Self::NotThere { .. } => Some("leave --store out, or see kubectl mariadb-backup list".to_owned()),
            Self::UnknownSize(_) => {
                Some("leave --scratch-class out: then it is unpacked on the volume of backups".to_owned())
            }
            Self::Runner(failure) => failure.hint.clone(),
        }
    }

    fn reported(&self) -> Option<&Failure> {
        match self {
            Self::Runner(failure) => Some(failure),
            _ => None,
        }
    }
}

/// Decides which backup is booted, from which stores it is taken, and where it is unpacked.
///
/// # Errors
/// The backup cannot be put together from the stores that are used.
pub fn plan(inputs: &Inputs<'_>, request: &DrillRequest) -> Result<DrillPlan, DrillError> {
    let Inputs { catalogue, settings, .. } = *inputs;
    let backup = match &request.backup {
        Some(backup) => backup.clone(),
        None => newest(catalogue, settings.stores).ok_or(DrillError::NoBackup)?,
    };
    if !catalogue.entry(&backup).is_some_and(|entry| entry.is_listed()) {
        return Err(DrillError::NoSuchBackup(backup));
    }
    let chain =
        chain::of(catalogue, &backup).map_err(|source| DrillError::Broken { backup: backup.clone(), source })?;
    let from: Result<Vec<_>, _> = chain.iter().map(|member| place(inputs, request.store, member, &backup)).collect();
    let from = from?;
    let runner = runner(inputs, request, &chain, &from)?;
    // Every other limit is the runner's own, and this is the longest of them.
    Ok(DrillPlan { chain, from, runner, start: settings.start_timeout, patience: settings.copy_timeout + BOOT_LIMIT })
}

/// Returns the newest backup whose whole chain can be relied on.
fn newest(catalogue: &Catalogue, stores: StoresWish) -> Option<BackupId> {
    let is_whole = |backup: &BackupId| {
        let members = chain::members(catalogue, backup);
        members.iter().all(|member| catalogue.trouble(member, stores).is_none())
    };
    catalogue.listed().into_iter().rev().find(is_whole)
}

/// Returns where a member of a chain is taken from: the volume is nearer.
fn place(
    inputs: &Inputs<'_>,
    wanted: Option<StoreName>,
    member: &BackupId,
    backup: &BackupId,
) -> Result<StoreName, DrillError> {
    let Inputs { catalogue, settings, .. } = *inputs;
    let is_used = |store: &StoreName| settings.stores.uses(*store);
    let is_there =
        |store: &StoreName| catalogue.entry(member).is_some_and(|entry| entry.presence(*store) == Presence::Present);
    let may_be = |store: &StoreName| wanted.is_none_or(|wanted| wanted == *store) && is_used(store);
    let found = [StoreName::Local, StoreName::S3].into_iter().find(|store| may_be(store) && is_there(store));
    found.ok_or_else(|| DrillError::NotThere {
        backup: backup.clone(),
        member: member.clone(),
        place: wanted.map_or("a store that is used", StoreName::word),
    })
}

/// Where the backup is unpacked: on the volume of backups, or on one that is made for it.
enum Scratch {
    OnStore,
    Made(ScratchVolume),
}

fn scratch(inputs: &Inputs<'_>, request: &DrillRequest, chain: &[BackupId]) -> Result<Scratch, DrillError> {
    if inputs.settings.stores.local() && request.scratch_class.is_none() {
        return Ok(Scratch::OnStore);
    }
    let class = request.scratch_class.clone().or_else(|| inputs.cluster.server.storage_class.clone());
    let unpacked = |member: &BackupId| {
        let stream_bytes = inputs.catalogue.entry(member).and_then(|entry| entry.stream_bytes);
        stream_bytes.ok_or_else(|| DrillError::UnknownSize(member.clone()))
    };
    let bytes = chain.iter().map(unpacked).sum::<Result<u64, _>>()?;
    Ok(Scratch::Made(ScratchVolume { bytes: bytes + bytes / 5 + GROWTH_BYTES, class }))
}

fn runner(
    inputs: &Inputs<'_>,
    request: &DrillRequest,
    chain: &[BackupId],
    from: &[StoreName],
) -> Result<RunnerSpec, DrillError> {
    let Inputs { catalogue, settings, cluster, job } = *inputs;
    let (directory, volume) = match scratch(inputs, request, chain)? {
        // Among unfinished work, where any later run sweeps it when this one dies.
        Scratch::OnStore => (format!("{STORE_PATH}/.unfinished/drill_{job}"), None),
        Scratch::Made(volume) => (format!("{SCRATCH_VOLUME_PATH}/drill"), Some(volume)),
    };
    let mut used = stores::of(settings, cluster);
    let uses_s3 = from.contains(&StoreName::S3);
    used.s3 = used.s3.filter(|_| uses_s3);
    let uses_volume = from.contains(&StoreName::Local) || volume.is_none();
    used.local = used.local.filter(|_| from.contains(&StoreName::Local));
    let order = ProveOrder {
        stores: used,
        chain: chain.to_vec(),
        from: from.to_vec(),
        expected: chain.iter().flat_map(|member| catalogue.files_of(member)).collect(),
        scratch: directory,
        operator_credentials: Some(CONDUCTOR_CREDENTIALS.to_owned()),
        backup_credentials: Some(BACKUP_CREDENTIALS.to_owned()),
        query: request.query.clone(),
        parallel: settings.parallel,
        prepare_memory_bytes: None,
        boot_timeout_secs: BOOT_LIMIT.as_secs(),
        prepare_timeout_secs: settings.copy_timeout.as_secs(),
        discard: true,
    };
    Ok(RunnerSpec {
        name: format!("{job}-prove"),
        order: RunnerOrder { version: ORDER_VERSION, task: RunnerTask::Prove(order) },
        beside: None,
        store_claim: uses_volume.then(|| settings.store_claim.clone()),
        s3: stores::mounts(settings).filter(|_| uses_s3),
        scratch: volume,
        operator_secret: Some(settings.operator_secret.clone()),
        backup_secret: Some(settings.backup_secret.clone()),
    })
}

/// Has the backup booted.
///
/// # Errors
/// [`DrillError::Runner`] with what the runner found.
pub async fn run(plan: &DrillPlan, ports: &ConductorPorts<'_>) -> Result<DrillReport, DrillError> {
    ports.events.send(Phase::Prove, EventKind::Started);
    ports.events.step(Phase::Prove, told(plan));
    let begun = ports.clock.elapsed();
    let hear = |event: Event| errand::repeat(event.phase, event.kind, ports);
    let proof: ProveReport = errand::run_patiently(&plan.runner, plan.start, plan.patience, ports, hear)
        .await
        .map_err(|error| DrillError::Runner(error.into_failure()))?;
    ports.events.send(Phase::Prove, EventKind::Finished);
    let mut from = plan.from.clone();
    from.sort_unstable();
    from.dedup();
    Ok(DrillReport {
        base: plan.chain.first().filter(|base| **base != proof.backup).cloned(),
        members: u32::try_from(plan.chain.len()).unwrap_or(u32::MAX),
        from,
        took_millis: u64::try_from(ports.clock.elapsed().saturating_sub(begun).as_millis()).unwrap_or(u64::MAX),
        proof,
    })
}

/// Says what is about to be done.
fn told(plan: &DrillPlan) -> String {
    let places = [StoreName::Local, StoreName::S3].into_iter().filter(|store| plan.from.contains(store));
    let places: Vec<_> = places.map(StoreName::word).collect();
    let backup = plan.chain.last().map(ToString::to_string).unwrap_or_default();
    let with = match plan.chain.len() {
        0 | 1 => String::new(),
        2 => " with the one it builds on".to_owned(),
        more => format!(" with the {} it builds on", more - 1),
    };
    format!("booting {backup}{with} in a throwaway pod, from {}", places.join(" and "))
}

#[cfg(test)]
mod tests;
