//! Taking stock: what the stores themselves say is in them, whatever the catalogue says.
//!
//! A runner reads every manifest and tells each backup by an event, because all of them together fit
//! no last word; that one has their number, so that a stream that lost some is found out. From the
//! answer a listing is shown, the catalogue is made again, or what it does not know is adopted.

mod merge;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::catalogue::{self, Changed};
use crate::errand::{self, ErrandError};
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupId;
use crate::model::cluster::ClusterView;
use crate::model::event::{Event, EventKind, Phase};
use crate::model::order::{InventoryOrder, ORDER_VERSION, RunnerOrder, RunnerTask, StoreName};
use crate::model::outcome::{Explain, Failure};
use crate::model::report::{FoundBackup, InventoryReport};
use crate::model::settings::Settings;
use crate::ports::PortError;
use crate::ports::conductor::{ConductorPorts, RunnerSpec};
use crate::stores;

/// How often a runner is sent before the stream of its events counts as broken.
const ATTEMPTS: u32 = 2;

/// How many warnings about single backups are given.
const NAMED: usize = 10;

/// An inventory with every choice made.
#[derive(Clone, Debug, PartialEq)]
pub struct InventoryPlan {
    /// The runner; the number of the attempt is added to its name.
    pub runner: RunnerSpec,
    /// How long it may take to start.
    pub start: Duration,
    /// The cluster whose backups these should be, `<namespace>/<statefulset>`.
    pub cluster: String,
}

/// What the stores hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// By backup, and store by store.
    pub found: BTreeMap<BackupId, BTreeMap<StoreName, FoundBackup>>,
    /// The numbers, for each store that was looked at, and the room.
    pub report: InventoryReport,
}

/// Why the stores could not be looked at, or the catalogue not made again.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The runner could not do its work.
    #[error("cannot look into the stores")]
    Errand(#[source] ErrandError),
    /// What was told is not all that was found.
    #[error("heard of {heard} of the {found} backups that are in the stores")]
    Incomplete {
        /// How many were told.
        heard: u32,
        /// How many there are.
        found: u32,
    },
    /// The catalogue could not be read or written.
    #[error("cannot write what is in the stores into the catalogue")]
    Catalogue(#[source] PortError),
}

impl Explain for InventoryError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Errand(error) => error.code(),
            Self::Incomplete { .. } => ExitCode::FailedInCluster,
            Self::Catalogue(error) => match error.code() {
                ExitCode::Error => ExitCode::FailedInCluster,
                code => code,
            },
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Errand(error) => error.hint(),
            Self::Incomplete { .. } => Some("the same command again asks anew".to_owned()),
            Self::Catalogue(error) => error.hint(),
        }
    }

    fn reported(&self) -> Option<&Failure> {
        match self {
            Self::Errand(error) => error.reported(),
            _ => None,
        }
    }
}

/// Decides where is looked: into every store that is used, for one backup or for all.
#[must_use]
pub fn plan(settings: &Settings, cluster: &ClusterView, job: &str, only: Option<BackupId>) -> InventoryPlan {
    let order = InventoryOrder { stores: stores::of(settings, cluster), only };
    let runner = RunnerSpec {
        name: format!("{job}-inventory"),
        order: RunnerOrder { version: ORDER_VERSION, task: RunnerTask::Inventory(order) },
        beside: None,
        data: None,
        store_claim: settings.stores.local().then(|| settings.store_claim.clone()),
        s3: stores::mounts(settings),
        scratch: None,
        fresh_store: false,
        near: None,
        operator_secret: None,
        backup_secret: None,
    };
    let cluster = format!("{}/{}", cluster.namespace, cluster.statefulset);
    InventoryPlan { runner, start: settings.start_timeout, cluster }
}

/// Looks into the stores.
///
/// # Errors
/// The runner failed, or its events do not add up, twice.
pub async fn run(plan: &InventoryPlan, ports: &ConductorPorts<'_>) -> Result<Stock, InventoryError> {
    ports.events.send(Phase::Store, EventKind::Started);
    let mut attempt = 1;
    loop {
        match look(plan, attempt, ports).await {
            Err(error @ InventoryError::Incomplete { .. }) if attempt < ATTEMPTS => {
                ports.events.step(Phase::Store, format!("{error}; asking anew"));
                attempt += 1;
            }
            looked => return looked,
        }
    }
}

async fn look(plan: &InventoryPlan, attempt: u32, ports: &ConductorPorts<'_>) -> Result<Stock, InventoryError> {
    // A name of its own: the pod of the first attempt may not be gone yet.
    let runner = RunnerSpec { name: format!("{}-{attempt}", plan.runner.name), ..plan.runner.clone() };
    let mut stock = Stock::default();
    let hear = |event: Event| match event.kind {
        EventKind::Found { found } => stock.add(of_cluster(*found, &plan.cluster)),
        kind => errand::repeat(Event { kind, ..event }, ports),
    };
    let report = errand::run(&runner, plan.start, ports, hear).await.map_err(InventoryError::Errand)?;
    stock.report = report;
    stock.check()?;
    Ok(stock)
}

/// Says of a backup of another cluster that it is none of ours: entered, it would fall to our retention.
fn of_cluster(mut found: FoundBackup, cluster: &str) -> FoundBackup {
    if let Some(other) = found.cluster.as_ref().filter(|other| *other != cluster) {
        found.trouble = Some(format!("it is a backup of {other}"));
    }
    found
}

impl Stock {
    /// Adds a backup; one that is told twice is one.
    fn add(&mut self, found: FoundBackup) {
        self.found.entry(found.backup.clone()).or_default().insert(found.store, found);
    }

    fn heard(&self, store: StoreName) -> u32 {
        u32::try_from(self.found.values().filter(|by_store| by_store.contains_key(&store)).count()).unwrap_or(u32::MAX)
    }

    /// Makes sure that all was heard of every store that could be looked at.
    fn check(&self) -> Result<(), InventoryError> {
        for (store, count) in [(StoreName::Local, self.report.local_count), (StoreName::S3, self.report.s3_count)] {
            let (heard, found) = (self.heard(store), count.unwrap_or_default());
            if heard != found {
                return Err(InventoryError::Incomplete { heard, found });
            }
        }
        Ok(())
    }

    /// Tells every backup again, to the reader of the conductor's own events.
    pub fn tell(&self, ports: &ConductorPorts<'_>) {
        for found in self.found.values().flat_map(BTreeMap::values) {
            ports.events.send(Phase::Store, EventKind::Found { found: Box::new(found.clone()) });
        }
    }
}

/// Makes the catalogue again from what is in the stores, and says where the old one said otherwise.
///
/// What only the old one knew and still holds is kept: when a backup was verified, that its removal
/// was begun. One that cannot be read is replaced.
///
/// # Errors
/// The stores cannot be looked at, or the catalogue cannot be written.
pub async fn rebuild(plan: &InventoryPlan, ports: &ConductorPorts<'_>) -> Result<(), InventoryError> {
    let stock = run(plan, ports).await?;
    let now = ports.clock.now();
    let made = catalogue::remake(ports, |old| merge::rebuilt(&stock, old, now)).await;
    let (warnings, malformed) = made.map_err(InventoryError::Catalogue)?;
    if let Some(error) = malformed {
        warn_some(vec![format!("{error}; it is replaced, and what only it knew is lost")], ports);
    }
    warn_some(warnings, ports);
    ports.events.step(Phase::Store, format!("made the catalogue again from {} backups", stock.found.len()));
    Ok(())
}

fn warn_some(mut warnings: Vec<String>, ports: &ConductorPorts<'_>) {
    let more = warnings.len().saturating_sub(NAMED);
    warnings.truncate(NAMED);
    if more > 0 {
        warnings.push(format!("and {more} more like these"));
    }
    for message in warnings {
        ports.events.send(Phase::Store, EventKind::Warned { message });
    }
}

/// Enters whole backups that the catalogue does not know, as a run leaves them that died before it
/// could, and returns them.
///
/// # Errors
/// The stores cannot be looked at, or the catalogue cannot be written.
pub async fn adopt(plan: &InventoryPlan, ports: &ConductorPorts<'_>) -> Result<Vec<BackupId>, InventoryError> {
    let stock = run(plan, ports).await?;
    let changed = catalogue::change(ports, |catalogue| merge::adopt(&stock, catalogue)).await;
    let Changed { before, after } = changed.map_err(InventoryError::Catalogue)?;
    let adopted: Vec<_> = after.backups().into_iter().filter(|backup| before.entry(backup).is_none()).collect();
    for backup in &adopted {
        ports.events.step(Phase::Store, format!("entered {backup}, which was whole but not in the catalogue"));
    }
    Ok(adopted)
}
