//! The drill: a stored backup is booted in a throwaway pod, before the day it is needed.
//!
//! The plan chooses the backup, from which store each member of its chain is taken, and where it is
//! unpacked; one runner does all of it and leaves nothing. The cluster itself is never touched.

use std::time::Duration;

use crate::catalogue;
use crate::errand;
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Catalogue;
use crate::model::chain;
use crate::model::event::{Event, EventKind, Phase};
use crate::model::names::{SCRATCH_VOLUME_PATH, STORE_PATH};
use crate::model::order::{DrillRequest, ORDER_VERSION, ProveOrder, RunnerOrder, RunnerTask, StoreName};
use crate::model::outcome::{Explain, Failure, in_full};
use crate::model::report::{DrillReport, LastDrill, ProveReport};
use crate::model::settings::StoresWish;
use crate::ports::conductor::{ConductorPorts, RunnerSpec, ScratchVolume};
use crate::proof::{BOOT_LIMIT, Chain, ChainError};
use crate::stores;
pub use crate::stores::Inputs;

/// What an unpacked backup grows by while it is prepared and served: logs, temporary tables.
const GROWTH_BYTES: u64 = 1 << 30;

/// A drill with every choice made.
#[derive(Clone, Debug, PartialEq)]
pub struct DrillPlan {
    /// The Job's name.
    pub run: String,
    /// The chain of the backup, and where each of it is taken from.
    pub chain: Chain,
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
    /// It cannot be put together.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Nobody knows how much room it takes.
    #[error("it is not recorded how large {0} is when it is unpacked, so no volume can be made for it")]
    UnknownSize(BackupId),
    /// No volume can be made for it.
    #[error("there is no StorageClass {0}, so no volume can be made to unpack on")]
    NoClass(String),
    /// It was not booted, or is not what it should be.
    #[error("the drill failed: {}", .0.message)]
    Runner(Failure),
}

impl Explain for DrillError {
    fn code(&self) -> ExitCode {
        match self {
            Self::NoBackup | Self::NoClass(_) => ExitCode::NotFound,
            Self::Chain(error) => error.code(),
            Self::UnknownSize(_) => ExitCode::Refused,
            Self::Runner(failure) => failure.code,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoBackup => Some("take one: kubectl mariadb-backup create".to_owned()),
            Self::NoClass(_) => Some("which there are: kubectl get storageclasses".to_owned()),
            Self::Chain(error) => error.hint(),
            Self::UnknownSize(_) => Some(
                "leave --scratch-class out: then it is unpacked in the local store (the volume of backups), where that is used"
                    .to_owned(),
            ),
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
    let chain = Chain::of(inputs, &backup, request.store, [StoreName::Local, StoreName::S3])?;
    let runner = runner(inputs, request, &chain)?;
    // Every other limit is the runner's own, and this is the longest of them.
    let (run, patience) = (inputs.job.to_owned(), settings.copy_timeout + BOOT_LIMIT);
    Ok(DrillPlan { run, chain, runner, start: settings.start_timeout, patience })
}

/// Returns the newest backup whose whole chain can be relied on.
fn newest(catalogue: &Catalogue, stores: StoresWish) -> Option<BackupId> {
    let is_whole = |backup: &BackupId| {
        let members = chain::members(catalogue, backup);
        members.iter().all(|member| catalogue.trouble(member, stores).is_none())
    };
    catalogue.listed().into_iter().rev().find(is_whole)
}

/// Where the backup is unpacked: on the volume of backups, or on one that is made for it.
enum Scratch {
    OnStore,
    Made(ScratchVolume),
}

fn scratch(inputs: &Inputs<'_>, request: &DrillRequest, chain: &Chain) -> Result<Scratch, DrillError> {
    if inputs.settings.stores.local() && request.scratch_class.is_none() {
        return Ok(Scratch::OnStore);
    }
    let class = request.scratch_class.clone().or_else(|| inputs.cluster.server.storage_class.clone());
    let bytes = chain.unpacked_bytes(inputs).map_err(DrillError::UnknownSize)?;
    Ok(Scratch::Made(ScratchVolume { bytes: bytes + bytes / 5 + GROWTH_BYTES, class }))
}

fn runner(inputs: &Inputs<'_>, request: &DrillRequest, chain: &Chain) -> Result<RunnerSpec, DrillError> {
    let Inputs { settings, job, .. } = *inputs;
    let (directory, volume) = match scratch(inputs, request, chain)? {
        // Among unfinished work, where any later run sweeps it when this one dies.
        Scratch::OnStore => (format!("{STORE_PATH}/.unfinished/drill_{job}"), None),
        Scratch::Made(volume) => (format!("{SCRATCH_VOLUME_PATH}/drill"), Some(volume)),
    };
    let uses_volume = chain.uses(StoreName::Local) || volume.is_none();
    let order = ProveOrder { query: request.query.clone(), discard: true, ..chain.order(inputs, directory) };
    Ok(RunnerSpec {
        name: format!("{job}-prove"),
        order: RunnerOrder { version: ORDER_VERSION, task: RunnerTask::Prove(order) },
        beside: None,
        data: None,
        store_claim: uses_volume.then(|| settings.store_claim.clone()),
        s3: stores::mounts(settings).filter(|_| chain.uses(StoreName::S3)),
        scratch: volume,
        fresh_store: false,
        near: None,
        operator_secret: Some(settings.operator_secret.clone()),
        backup_secret: Some(settings.backup_secret.clone()),
    })
}

/// Has the backup booted, and enters into the catalogue what came of it.
///
/// # Errors
/// [`DrillError::Runner`] with what the runner found; [`DrillError::NoClass`] where a pod would wait for its
/// volume in vain.
pub async fn run(plan: &DrillPlan, ports: &ConductorPorts<'_>) -> Result<DrillReport, DrillError> {
    if let Some(class) = plan.runner.scratch.as_ref().and_then(|scratch| scratch.class.as_ref())
        && ports.cluster.lacks_class(class).await
    {
        return Err(DrillError::NoClass(class.clone()));
    }
    ports.events.send(Phase::Prove, EventKind::Started);
    ports.events.step(Phase::Prove, told(plan));
    let begun = ports.clock.elapsed();
    let done = boot(plan, begun, ports).await;
    // A query that is none says nothing of the backup, for or against it.
    if !done.as_ref().is_err_and(|error| error.code() == ExitCode::Usage) {
        let failed = done.as_ref().err().map(|error| Failure::of(error).in_short());
        enter(plan, failed, millis_since(begun, ports), ports).await;
    }
    done
}

async fn boot(plan: &DrillPlan, begun: Duration, ports: &ConductorPorts<'_>) -> Result<DrillReport, DrillError> {
    let hear = |event: Event| errand::repeat(event, ports);
    let proof: ProveReport = errand::run_patiently(&plan.runner, plan.start, plan.patience, ports, hear)
        .await
        .map_err(|error| DrillError::Runner(error.into_failure()))?;
    ports.events.send(Phase::Prove, EventKind::Finished);
    let mut from = plan.chain.from.clone();
    from.sort_unstable();
    from.dedup();
    Ok(DrillReport {
        base: plan.chain.members.first().filter(|base| **base != proof.backup).cloned(),
        members: u32::try_from(plan.chain.members.len()).unwrap_or(u32::MAX),
        from,
        took_millis: millis_since(begun, ports),
        proof,
    })
}

fn millis_since(begun: Duration, ports: &ConductorPorts<'_>) -> u64 {
    u64::try_from(ports.clock.elapsed().saturating_sub(begun).as_millis()).unwrap_or(u64::MAX)
}

/// Enters that the drill was, and that the whole chain is as recorded when it went well.
///
/// What cannot be entered is a warning: what was found out holds all the same.
async fn enter(plan: &DrillPlan, failed: Option<String>, took_millis: u64, ports: &ConductorPorts<'_>) {
    let (members, at) = (&plan.chain.members, ports.clock.now());
    let Some(backup) = members.last().cloned() else { return };
    let last = LastDrill { run: plan.run.clone(), at, backup, took_millis, failed };
    let enter = |catalogue: &mut Catalogue| {
        if last.failed.is_none() {
            catalogue.enter_proof(members, at);
        }
        catalogue.drill = Some(last.clone());
    };
    if let Err(error) = catalogue::change(ports, enter).await {
        let message = format!("the catalogue does not tell of this drill: {}", in_full(&error));
        ports.events.send(Phase::Prove, EventKind::Warned { message });
    }
}

/// Says what is about to be done.
fn told(plan: &DrillPlan) -> String {
    let places = [StoreName::Local, StoreName::S3].into_iter().filter(|store| plan.chain.uses(*store));
    let places: Vec<_> = places.map(StoreName::word).collect();
    let backup = plan.chain.members.last().map(ToString::to_string).unwrap_or_default();
    let with = match plan.chain.members.len() {
        0 | 1 => String::new(),
        2 => " with the one it builds on".to_owned(),
        more => format!(" with the {} it builds on", more - 1),
    };
    format!("booting {backup}{with} in a throwaway pod, from {}", places.join(" and "))
}

#[cfg(test)]
mod tests;
