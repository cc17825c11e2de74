//! `status`: how a cluster and its backups are, on one page.
//!
//! What the replicas say is asked for by a run, as only the cluster's own network reaches them. What
//! cannot be had is said and left out: the rest is still worth knowing, on a bad day more than ever.

mod page;
mod shape;

use std::collections::BTreeMap;

use super::cli::StatusFlags;
use super::connect::Session;
use super::follow::Followed;
use super::order::{ask, order};
use super::{CommandResult, find, list, schedule};
use crate::adapters::kubernetes::cluster::KubernetesCluster;
use crate::adapters::kubernetes::lease_sight;
use crate::adapters::kubernetes::orders::Orders;
use crate::adapters::kubernetes::preflight::Preflight;
use crate::adapters::system_clock::SystemClock;
use crate::exit_code::ExitCode;
use crate::model::order::{StatusRequest, Task};
use crate::model::outcome::{End, Failure};
use crate::model::report::{RunReport, StatusReport};
use crate::model::settings::Settings;
use crate::ports::Clock;
use crate::ports::conductor::Cluster;
use crate::render::age;
use crate::render::document::document;
use crate::render::screen::Screen;
use shape::{Fact, Facts, Status};

pub(crate) async fn run(flags: &StatusFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let statefulset = find::cluster(session, flags.cluster.wanted()).await?;
    let answer = match replicas(flags, &statefulset, session, screen).await {
        Ok(Answer::Interrupted) => return Ok(ExitCode::Interrupted),
        Ok(Answer::Told(report)) => Ok(report),
        Ok(Answer::Late) => Err(Failure::new(
            ExitCode::StillRunning,
            format!("the replicas did not answer within {} (--timeout)", age::human(flags.timeout)),
        )),
        Err(failure) => Err(failure),
    };
    let facts = facts(&statefulset, session, screen).await?;
    session.show_warnings(screen);
    let status = Status::of(facts, answer.as_ref().ok().cloned());
    match flags.output {
        Some(form) => screen.data(&document(&status, form.into())),
        None => screen.data(&page::text(&status, SystemClock.now())),
    }
    if let Err(failure) = &answer {
        screen.warn("the replicas could not be asked; what is shown of them is what Kubernetes knows");
        screen.fail(failure);
    }
    Ok(status.code())
}

/// What came of asking the replicas.
enum Answer {
    Told(StatusReport),
    Late,
    Interrupted,
}

async fn replicas(
    flags: &StatusFlags,
    statefulset: &str,
    session: &Session,
    screen: &mut Screen,
) -> Result<Answer, Failure> {
    let order = order(statefulset, Task::Status(StatusRequest {}), BTreeMap::new());
    let (job, followed) = ask(&order, flags.timeout, session, screen).await?;
    match followed {
        Followed::GoesOn(ExitCode::Interrupted) => Ok(Answer::Interrupted),
        Followed::GoesOn(_) => Ok(Answer::Late),
        Followed::Ended(ended) => match ended.outcome.end {
            End::Done(RunReport::Status(report)) => Ok(Answer::Told(report)),
            End::Done(_) => Err(Failure::new(ExitCode::FailedInCluster, format!("run {job} answered something else"))),
            End::Failed(failure) => Err(failure),
        },
    }
}

/// Gathers what Kubernetes knows.
async fn facts(statefulset: &str, session: &Session, screen: &mut Screen) -> Result<Facts, Failure> {
    let connection = session.connection()?;
    let (client, namespace) = (|| connection.client.clone(), &connection.target.namespace);
    let preflight = Preflight::new(client(), namespace);
    let cluster = KubernetesCluster::new(client(), namespace, statefulset);
    let orders = Orders::new(client(), namespace);
    let lease_name = Settings::config_map_name(statefulset);
    let mut gap = |failure: Failure| {
        let cause = failure.causes.first().map(|cause| format!(": {cause}")).unwrap_or_default();
        screen.warn(&format!("{}{cause}", failure.message));
    };
    let failed = |error| session.failure(&error);
    let view = known(cluster.view().await.map_err(failed), &mut gap);
    let lease = known(lease_sight::look(client(), namespace, &lease_name).await.map_err(failed), &mut gap);
    let runs = known(orders.runs(Some(statefulset)).await.map_err(failed), &mut gap);
    let schedules = known(schedule::all(session, Some(statefulset)).await, &mut gap);
    let stored = known(preflight.settings(statefulset).await.map_err(failed), &mut gap).unwrap_or_default();
    let catalogue = list::catalogue_under(session, statefulset, &stored).await;
    let catalogue = known(catalogue, &mut gap);
    Ok(Facts {
        namespace: namespace.clone(),
        statefulset: statefulset.to_owned(),
        view,
        lease: lease.map(Fact::found).unwrap_or_default(),
        runs,
        schedules,
        catalogue,
        unknown_settings: Settings::unknown_keys(&stored).into_iter().map(str::to_owned).collect(),
    })
}

/// What is known, with a word about what is not.
fn known<T>(fact: Result<T, Failure>, gap: &mut impl FnMut(Failure)) -> Option<T> {
    fact.map_err(gap).ok()
}
