//! What a cluster has that a line can name, each with a word about it.

use super::Candidate;
use crate::adapters::kubernetes::cluster::KubernetesCluster;
use crate::adapters::kubernetes::finder::{Finder, Found, Place, namespaces};
use crate::adapters::kubernetes::orders::{OrderedRun, Orders};
use crate::adapters::kubernetes::preflight::Preflight;
use crate::adapters::kubernetes::schedules::{Scheduled, Schedules};
use crate::adapters::system_clock::SystemClock;
use crate::model::backup_id::BackupId;
use crate::model::catalogue::Catalogue;
use crate::model::outcome::Failure;
use crate::plugin::connect::Session;
use crate::plugin::{find, list};
use crate::ports::Clock;
use crate::ports::conductor::Cluster;
use crate::render::age;

/// Something in the cluster that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    Cluster,
    Replica,
    Backup,
    Schedule,
    Run,
    Namespace,
}

/// Looks for all of a kind; `None` where the cluster cannot be asked.
pub(super) fn look(thing: Thing, statefulset: Option<&str>, session: &Session) -> Option<Vec<Candidate>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(candidates(thing, statefulset, session)).ok()
}

async fn candidates(thing: Thing, statefulset: Option<&str>, session: &Session) -> Result<Vec<Candidate>, Failure> {
    let connection = session.connection()?;
    let (client, namespace) = (connection.client.clone(), connection.target.namespace.as_str());
    let failed = |error| session.failure(&error);
    Ok(match thing {
        Thing::Cluster => {
            let found = Finder::new(client, namespace).all().await.map_err(failed)?;
            found.all.into_iter().filter(|found| found.is_galera).map(cluster).collect()
        }
        Thing::Replica => {
            let name = find::cluster(session, statefulset).await?;
            let view = KubernetesCluster::new(client, namespace, &name).view().await.map_err(failed)?;
            view.pods.into_iter().map(|pod| Candidate::new(pod.name, "")).collect()
        }
        Thing::Backup => backups(statefulset, session).await?,
        Thing::Schedule => {
            let all = Schedules::new(client, namespace).all(statefulset).await.map_err(failed)?;
            all.into_iter().map(schedule).collect()
        }
        Thing::Run => {
            let all = Orders::new(client, namespace).runs(statefulset).await.map_err(failed)?;
            all.into_iter().map(run).collect()
        }
        Thing::Namespace => {
            let all = namespaces(client).await.map_err(failed)?;
            all.into_iter().map(|name| Candidate::new(name, "")).collect()
        }
    })
}

fn cluster(found: Found) -> Candidate {
    Candidate::new(found.name, if found.is_set_up { "set up for backups" } else { "not set up for backups" })
}

fn schedule(scheduled: Scheduled) -> Candidate {
    let suspended = if scheduled.is_suspended { ", suspended" } else { "" };
    Candidate::new(scheduled.name, format!("{}{suspended}", scheduled.schedule))
}

fn run(run: OrderedRun) -> Candidate {
    let state = if run.is_running { "running" } else { "ended" };
    let ordered = run.ordered.map(|time| format!(", ordered {} ago", age::since(time, SystemClock.now())));
    Candidate::new(run.job, format!("{state}{}", ordered.unwrap_or_default()))
}

/// The backups of a cluster, the newest first.
async fn backups(statefulset: Option<&str>, session: &Session) -> Result<Vec<Candidate>, Failure> {
    let cluster = find::cluster_or_remains(session, statefulset).await?;
    let connection = session.connection()?;
    let preflight = Preflight::new(connection.client.clone(), &connection.target.namespace);
    let stored = preflight.settings(&cluster).await.map_err(|error| session.failure(&error))?;
    let place = Place::new(&connection.target.namespace, cluster);
    let catalogue = list::catalogue_under(session, &place, &stored).await?;
    let mut newest_first = catalogue.listed();
    newest_first.sort_by_key(|id| std::cmp::Reverse(id.name().time()));
    Ok(newest_first.iter().map(|id| backup(id, &catalogue)).collect())
}

fn backup(id: &BackupId, catalogue: &Catalogue) -> Candidate {
    let kind = if id.base().is_some() { "incremental" } else { "full" };
    let is_usable = catalogue.entry(id).is_some_and(|entry| entry.is_usable());
    let trouble = if is_usable { "" } else { ", not to be relied on" };
    let age = age::since(id.name().time(), SystemClock.now());
    Candidate::new(id.name().as_str(), format!("{kind}, {age} old{trouble}"))
}
