//! The conductor: wires the ports, takes the Lease, settles what is owed, carries the order out.
//!
//! Three things can end it before its work is done: SIGTERM, a lost Lease, and its own death. In all
//! three the runner finishes or breaks off by itself and brings its replica back, and the obligation
//! tells the next run to make sure of it.
//!
//! What is done for which task stands in `conduct/tasks.rs`; nothing but wiring is here.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use kube::Client;

use crate::adapters::go_ahead::Speaker;
use crate::adapters::kubernetes::board::KubernetesBoard;
use crate::adapters::kubernetes::catalogue_configmap::ConfigMapCatalogue;
use crate::adapters::kubernetes::client::in_cluster;
use crate::adapters::kubernetes::cluster::KubernetesCluster;
use crate::adapters::kubernetes::lease;
use crate::adapters::kubernetes::runner_pod::Owner;
use crate::adapters::kubernetes::runners::RunnerPods;
use crate::adapters::kubernetes::workload::KubernetesWorkload;
use crate::adapters::mysql::members::GaleraMembers;
use crate::adapters::mysql::session::Credentials;
use crate::adapters::system_clock::SystemClock;
use crate::backup::phase1_isolate::GATE;
use crate::exit_code::ExitCode;
use crate::model::cluster::ClusterView;
use crate::model::command::Places;
use crate::model::event::{EventKind, Phase};
use crate::model::metrics::Stock;
use crate::model::notice::Run;
use crate::model::order::{ORDER_VERSION, Order, Task};
use crate::model::outcome::{Explain, Failure, Outcome, in_full};
use crate::model::report::RunReport;
use crate::model::settings::Settings;
use crate::monitor::Monitor;
use crate::obligations;
use crate::ports::conductor::{CatalogueStore, Cluster, ConductorPorts, Lease};
use crate::ports::monitor::MonitorPorts;
use crate::ports::restore::{GoAheads, WorkloadControl};
use crate::ports::{Clock, EventSink, PortError, Reason};

mod keeping;
mod owed;
mod restoring;
mod signals;
mod status;
mod tasks;
mod warnings;

use signals::Stopped;
use warnings::KeptWarnings;

/// How much longer than a replica's way back a stopped runner gets.
const RUNNER_GRACE_MARGIN: Duration = Duration::from_secs(30);

/// The longest that telling the end of a run to those who watch may take.
const TELLING_LIMIT: Duration = Duration::from_secs(8);

/// The longest that reading the catalogue for them may take.
const STOCK_LIMIT: Duration = Duration::from_secs(5);

/// Who the conductor is, as the downward API tells it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its pod.
    pub pod: String,
    /// That pod's UID.
    pub pod_uid: String,
    /// Its address.
    pub pod_ip: IpAddr,
    /// Its Job.
    pub job: String,
    /// Directory with the operator account's `username` and `password`.
    pub credentials: PathBuf,
}

/// What every task is given.
struct Context<'a> {
    /// The Job's name.
    job: &'a str,
    /// The cluster's settings, with those of the order over them.
    settings: &'a Settings,
    /// The cluster as it was when the run began.
    cluster: &'a ClusterView,
    /// The world.
    ports: &'a ConductorPorts<'a>,
    /// The StatefulSet, for a restore to stop and start.
    workload: &'a dyn WorkloadControl,
    /// Words to its runners that wait.
    go_aheads: &'a dyn GoAheads,
}

/// Carries an order out and returns how it ended.
pub async fn conduct(
    order: &str,
    identity: &Identity,
    out: impl std::io::Write + Send + 'static,
) -> Outcome<RunReport> {
    let events = KeptWarnings::new(out);
    let done = try_conduct(order, identity, &events).await;
    if let Err(failure) = &done {
        events.send(Phase::Isolate, EventKind::Failed { message: failure.message.clone() });
    }
    let warnings = events.into_warnings();
    match done {
        Ok(report) => Outcome::done(report, warnings),
        Err(failure) => Outcome::failed(failure, warnings),
    }
}

/// Whether an order only asks what would be done.
#[must_use]
pub fn only_asks(order: &str) -> bool {
    parse(order).is_ok_and(|order| order.task.only_asks())
}

/// What everything in one run is given.
struct Conductor<'a> {
    client: Client,
    identity: &'a Identity,
    order: &'a Order,
    cluster: &'a KubernetesCluster,
    events: &'a KeptWarnings,
    monitor: &'a Monitor<'a>,
}

async fn try_conduct(order: &str, identity: &Identity, events: &KeptWarnings) -> Result<RunReport, Failure> {
    // Before anything else: PID 1 without a handler ignores SIGTERM.
    let mut stopped = Stopped::listen()?;
    let order = parse(order)?;
    let places = places(identity, &order);
    events.about(&places);
    let client = in_cluster().map_err(Explain::into_failure)?;
    let cluster = KubernetesCluster::new(client.clone(), &identity.namespace, &order.statefulset);
    let board = KubernetesBoard::new(client.clone(), &identity.namespace, &order.statefulset);
    let ports = MonitorPorts { board: &board, clock: &SystemClock, events };
    let monitor = Monitor::new(run(identity, &order), ports);
    let settings = settings(&cluster, &order).await;
    let conductor =
        Conductor { client: client.clone(), identity, order: &order, cluster: &cluster, events, monitor: &monitor };
    let done = match &settings {
        Ok(settings) => Box::pin(carry_out(&conductor, settings, &mut stopped)).await,
        Err(failure) => Err(failure.clone()),
    };
    let done = done.map_err(|failure| failure.placed(&places));
    if !order.task.only_looks() {
        let telling = async {
            let stock = match &settings {
                Ok(settings) => stock(&catalogue(client, identity, &order, settings)).await,
                Err(_) => None,
            };
            monitor.ended(&done, events.has_any(), stock).await;
        };
        // The outcome itself waits for this.
        if tokio::time::timeout(TELLING_LIMIT, telling).await.is_err() {
            tracing::debug!("how the run ended could not be told in time to those who watch");
        }
    }
    done
}

async fn carry_out(
    conductor: &Conductor<'_>,
    settings: &Settings,
    stopped: &mut Stopped,
) -> Result<RunReport, Failure> {
    let Conductor { client, identity, order, cluster, events, .. } = conductor;
    let view = cluster.view().await.map_err(Explain::into_failure)?;
    let image_pull_secrets = cluster.pull_secrets(&identity.pod).await;
    let owner = Owner { image_pull_secrets, ..owner(identity, order, settings) };
    let runners = RunnerPods::new(client.clone(), owner, view.server.clone(), *events);
    let catalogue = catalogue(client.clone(), identity, order, settings);
    let credentials = Credentials::read(&identity.credentials).map_err(Explain::into_failure)?;
    let galera = GaleraMembers::new(credentials, GATE);
    let ports = ConductorPorts {
        cluster: *cluster,
        galera: &galera,
        runners: &runners,
        catalogue: &catalogue,
        clock: &SystemClock,
        events: *events,
    };
    let workload = KubernetesWorkload::new(client.clone(), &identity.namespace, &order.statefulset, *cluster)
        .in_the_way_of(settings.flavour.clone());
    let context = Context {
        job: &identity.job,
        settings,
        cluster: &view,
        ports: &ports,
        workload: &workload,
        go_aheads: &Speaker::new(identity.pod_ip),
    };
    if order.task.only_looks() {
        return tokio::select! {
            done = tasks::perform(&order.task, &context) => done,
            signal = stopped.signal() => Err(stopped_by(signal)),
        };
    }
    Box::pin(under_lease(conductor, &context, stopped)).await
}

async fn under_lease(
    conductor: &Conductor<'_>,
    context: &Context<'_>,
    stopped: &mut Stopped,
) -> Result<RunReport, Failure> {
    let Conductor { client, identity, order, events, monitor, .. } = conductor;
    let lease_name = Settings::config_map_name(&order.statefulset);
    // Two pods of one Job are two holders.
    let holder = format!("{}/{}", identity.job, identity.pod_uid);
    let taking = lease::take(client.clone(), &identity.namespace, &lease_name, &holder);
    let lease = tokio::select! {
        taken = taking => taken.map_err(|error| locked(&error))?,
        signal = stopped.signal() => return Err(stopped_by(signal)),
    };
    let telling = async {
        monitor.begun().await;
        monitor.watch().await
    };
    let done = tokio::select! {
        done = until_stopped(&order.task, context, stopped) => done,
        never = telling => match never {},
        () = lease.lost() => return Err(lost(&lease_name)),
    };
    if let Err(error) = lease.release().await {
        events.send(Phase::Record, EventKind::Warned { message: in_full(&error) });
    }
    done
}

/// Carries a task out, or as much of it as may be when a signal ends it early.
///
/// A cluster that a restore has stopped stays down until somebody goes on with it: then the shortest outage
/// is to go on at once, for as long as the pod's grace period lasts.
async fn until_stopped(task: &Task, context: &Context<'_>, stopped: &mut Stopped) -> Result<RunReport, Failure> {
    let mut work = std::pin::pin!(tasks::carry_out(task, context));
    let signal = tokio::select! {
        done = &mut work => return done,
        signal = stopped.signal() => signal,
    };
    let first = tokio::select! {
        done = &mut work => return done,
        stage = obligations::begun_restore(context.ports) => stage,
    };
    // What was looked at may be over by now; the second time the work stands still meanwhile.
    let stage = if matches!(first, Ok(Some(_))) { first } else { obligations::begun_restore(context.ports).await };
    let restores = matches!(task, Task::Restore(_) | Task::Recover(_));
    let how = match stage {
        Ok(Some(stage)) => Some(stage.words().to_owned()),
        Err(error) if restores => Some(format!("nobody knows how far it is ({})", in_full(&error))),
        Ok(None) | Err(_) => None,
    };
    if let Some(how) = how {
        let message = format!("{signal} while {how}: the restore goes on to its end");
        context.ports.events.send(Phase::Start, EventKind::Warned { message });
        return work.await;
    }
    owed::settle_own(context).await;
    Err(stopped_by(signal))
}

/// Where the commands lead that the run names.
fn places(identity: &Identity, order: &Order) -> Places {
    let source = match &order.task {
        Task::Restore(request) => request.of_another.as_ref().and_then(|foreign| foreign.cluster.split_once('/')),
        _ => None,
    };
    Places {
        namespace: identity.namespace.clone(),
        statefulset: order.statefulset.clone(),
        source: source.map(|(namespace, statefulset)| (namespace.to_owned(), statefulset.to_owned())),
    }
}

/// The run, as those who watch the cluster are told of it.
fn run(identity: &Identity, order: &Order) -> Run {
    Run {
        job: identity.job.clone(),
        task: order.task.word(),
        namespace: identity.namespace.clone(),
        statefulset: order.statefulset.clone(),
        began: SystemClock.now(),
    }
}

/// What is in the stores now, as far as the catalogue can be read: it is only told to those who watch.
async fn stock(catalogue: &ConfigMapCatalogue) -> Option<Stock> {
    let read = tokio::time::timeout(STOCK_LIMIT, catalogue.read()).await;
    read.ok()?.ok().map(|(catalogue, _)| Stock::of(&catalogue))
}

fn catalogue(client: Client, identity: &Identity, order: &Order, settings: &Settings) -> ConfigMapCatalogue {
    ConfigMapCatalogue::new(client, &identity.namespace, &order.statefulset, &settings.hash_config_map)
}

fn stopped_by(signal: &str) -> Failure {
    Failure::new(ExitCode::FailedInCluster, format!("the run was stopped by {signal}"))
        .with_cause("its pod was deleted, its node drained, or its Job reached its deadline")
        .with_hint("to settle what may be owed, before it is ordered again: kubectl mariadb-backup recover")
}

fn lost(lease: &str) -> Failure {
    let what = format!("the run gave its work up: Lease {lease} could not be renewed in time, so another may begin");
    Failure::new(ExitCode::FailedInCluster, what)
        .with_cause("what its runners still do they finish or break off by themselves")
        .with_hint("to settle what is owed: kubectl mariadb-backup recover")
}

fn parse(order: &str) -> Result<Order, Failure> {
    let order: Order = serde_json::from_str(order).map_err(|error| not_understood().with_cause(error.to_string()))?;
    if order.version != ORDER_VERSION {
        let what = format!("the order has version {}, this agent understands {ORDER_VERSION}", order.version);
        return Err(not_understood().with_cause(what));
    }
    Ok(order)
}

fn not_understood() -> Failure {
    let version = env!("CARGO_PKG_VERSION");
    let what = format!("the agent of version {version} does not understand its order, which another version wrote");
    Failure::new(ExitCode::Usage, what).with_hint(
        "to compare: kubectl mariadb-backup version; to give the cluster another agent, with the commands for its schedules: kubectl mariadb-backup setup --agent-image IMAGE",
    )
}

async fn settings(cluster: &KubernetesCluster, order: &Order) -> Result<Settings, Failure> {
    let stored = cluster.settings().await.map_err(Explain::into_failure)?;
    Settings::read(&order.statefulset, &stored, &order.settings)
        .map_err(|error| Failure::new(ExitCode::Usage, error.to_string()))
}

fn owner(identity: &Identity, order: &Order, settings: &Settings) -> Owner {
    Owner {
        namespace: identity.namespace.clone(),
        statefulset: order.statefulset.clone(),
        pod: identity.pod.clone(),
        pod_uid: identity.pod_uid.clone(),
        agent_image: settings.agent_image.clone(),
        image_pull_secrets: Vec::new(),
        grace_secs: (2 * settings.resync_timeout + RUNNER_GRACE_MARGIN).as_secs(),
    }
}

fn locked(error: &PortError) -> Failure {
    let mut failure = Failure::of(error);
    if error.reason == Reason::Conflict {
        failure.code = ExitCode::Locked;
    }
    failure
}
