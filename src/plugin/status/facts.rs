//! What Kubernetes knows of a cluster, as far as it can be had.

use std::collections::BTreeMap;

use super::failed;
use super::shape::{Fact, Facts, Run};
use crate::adapters::kubernetes::cluster::KubernetesCluster;
use crate::adapters::kubernetes::finder::Place;
use crate::adapters::kubernetes::lease_sight;
use crate::adapters::kubernetes::orders::{OrderedRun, Orders};
use crate::adapters::kubernetes::preflight::Preflight;
use crate::adapters::kubernetes::run_sight::newest_reports;
use crate::model::catalogue::Catalogue;
use crate::model::command::placed;
use crate::model::outcome::Failure;
use crate::model::settings::Settings;
use crate::plugin::connect::Session;
use crate::plugin::job::is_look;
use crate::plugin::{list, schedule};
use crate::ports::conductor::Cluster;
use crate::render::progress::Picture;

/// Gathers it, with a sentence about each part that could not be had.
pub(super) async fn gather(place: &Place, session: &Session) -> Result<(Facts, Vec<String>), Failure> {
    let Place { namespace, statefulset, .. } = place;
    let connection = session.connection()?;
    let client = || connection.client.clone();
    let preflight = Preflight::new(client(), namespace);
    let cluster = KubernetesCluster::new(client(), namespace, statefulset);
    let orders = Orders::new(client(), namespace);
    let lease_name = Settings::config_map_name(statefulset);
    let failed = |error| session.failure(&error);
    let mut gaps = vec![];
    // Before what is owed: a run that ends in between has settled it by then.
    let runs = known(orders.runs(Some(statefulset)).await.map_err(failed), &mut gaps);
    let view = known(cluster.view().await.map_err(failed), &mut gaps);
    let lease = known(lease_sight::look(client(), namespace, &lease_name).await.map_err(failed), &mut gaps);
    let last_failed = match &runs {
        Some(runs) => known(failed::last(place, runs, session).await, &mut gaps),
        None => None,
    };
    let schedules = known(schedule::of_cluster(session, place).await, &mut gaps);
    let stored = known(preflight.settings(statefulset).await.map_err(failed), &mut gaps).unwrap_or_default();
    let catalogue = known(list::catalogue_under(session, place, &stored).await, &mut gaps);
    let settings = Settings::read(statefulset, &stored, &BTreeMap::new()).ok();
    let mut at_work = vec![];
    for run in runs.iter().flatten().filter(|run| run.is_running && !run.task.as_deref().is_some_and(is_look)) {
        at_work.push(sight(run, place, session).await?);
    }
    let flavour = view.as_ref().map(|view| &view.flavour);
    let restore_refused = flavour.zip(settings.as_ref()).and_then(|(found, settings)| {
        let why = settings.flavour.as_ref().unwrap_or(found).unknown_start(settings.bootstrap.is_some())?;
        Some(session.reached(&placed(why, namespace, statefulset)))
    });
    let facts = Facts {
        restore_refused,
        namespace: namespace.clone(),
        statefulset: statefulset.clone(),
        is_gone: false,
        view,
        lease: lease.map(Fact::found).unwrap_or_default(),
        running: runs.is_some().then_some(at_work),
        failed: last_failed.map(Fact::found).unwrap_or_default(),
        schedules,
        keep: keep(settings.as_ref()),
        unknown_settings: Settings::unknown_keys(&stored).into_iter().map(str::to_owned).collect(),
        make_room: make_room(catalogue.as_ref(), settings.as_ref(), place, session),
        catalogue,
        recover: session.command_in(namespace, &format!("recover {statefulset}")),
    };
    Ok((facts, gaps))
}

/// How many full backups are kept on the volume, where that is used.
fn keep(settings: Option<&Settings>) -> Option<u32> {
    settings.filter(|settings| settings.stores.local()).map(|settings| settings.backups_to_keep)
}

/// The command that shows what would go if one full backup less were kept.
fn make_room(
    catalogue: Option<&Catalogue>,
    settings: Option<&Settings>,
    place: &Place,
    session: &Session,
) -> Option<String> {
    let full = catalogue?.listed().iter().filter(|id| id.base().is_none()).count();
    let fewer = keep(settings)?.min(u32::try_from(full).ok()?).saturating_sub(1).max(1);
    let words = format!("prune {} --keep {fewer} --dry-run", place.statefulset);
    Some(session.command_in(&place.namespace, &words))
}

/// The same of a cluster of which only the backups are left.
pub(super) async fn gather_remains(place: &Place, session: &Session) -> (Facts, Vec<String>) {
    let mut gaps = vec![];
    let catalogue = known(list::catalogue_at(session, place).await, &mut gaps);
    let Place { namespace, statefulset, is_gone } = place.clone();
    (Facts { namespace, statefulset, is_gone, catalogue, ..Facts::default() }, gaps)
}

/// A run that goes on, and where it is; a log that cannot be read leaves only the latter out.
async fn sight(run: &OrderedRun, place: &Place, session: &Session) -> Result<Run, Failure> {
    let client = session.connection()?.client.clone();
    let reports = newest_reports(client, &place.namespace, &run.job).await;
    let reports = reports.inspect_err(|error| tracing::debug!(%error, "no reports")).unwrap_or_default();
    let mut picture = Picture::of(&run.job);
    for report in &reports {
        drop(picture.take(report));
    }
    let gauges = picture.gauges();
    let each = gauges.iter().filter(|gauge| !gauge.text.is_empty()).map(|gauge| match &gauge.who {
        Some(who) => format!("{who}: {}", gauge.whole()),
        None => gauge.whole(),
    });
    let doing = each.collect::<Vec<_>>().join("; ");
    Ok(Run {
        job: run.job.clone(),
        task: run.task.clone(),
        since: run.ordered,
        waits: run.waits.clone(),
        phase: gauges.first().map(|gauge| gauge.label.clone()),
        doing: Some(doing).filter(|doing| !doing.is_empty()),
    })
}

/// What is known, with a word about what is not.
fn known<T>(fact: Result<T, Failure>, gaps: &mut Vec<String>) -> Option<T> {
    let gap = |failure: Failure| {
        let cause = failure.causes.first().map(|cause| format!(": {cause}")).unwrap_or_default();
        gaps.push(format!("{}{cause}", failure.message));
    };
    fact.map_err(gap).ok()
}
