//! The conductor: wires the ports, takes the Lease, settles what is owed, carries the order out.
//!
//! Three things can end it before its work is done: SIGTERM, a lost Lease, and its own death. In all
//! three the runner finishes or breaks off by itself and brings its replica back, and the obligation
//! tells the next run to make sure of it.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::adapters::events::JsonLines;
use crate::adapters::kubernetes::catalogue_configmap::ConfigMapCatalogue;
use crate::adapters::kubernetes::client::in_cluster;
use crate::adapters::kubernetes::cluster::KubernetesCluster;
use crate::adapters::kubernetes::lease;
use crate::adapters::kubernetes::runner_pod::Owner;
use crate::adapters::kubernetes::runners::RunnerPods;
use crate::adapters::mysql::members::GaleraMembers;
use crate::adapters::mysql::session::Credentials;
use crate::adapters::system_clock::SystemClock;
use crate::backup::phase1_isolate::GATE;
use crate::backup::{self, Observed, Run};
use crate::exit_code::ExitCode;
use crate::model::backup_id::BackupName;
use crate::model::cluster::ClusterView;
use crate::model::event::{EventKind, Phase};
use crate::model::order::{BackupRequest, ORDER_VERSION, Order, ServerAddress, Task, VerifyRequest};
use crate::model::outcome::{Failure, Outcome};
use crate::model::report::RunReport;
use crate::model::settings::Settings;
use crate::obligations;
use crate::ports::conductor::{Cluster, ConductorPorts, Galera, Lease};
use crate::ports::{EventSink, PortError, Reason};
use crate::verify;

/// How much longer than a replica's way back a stopped runner gets.
const RUNNER_GRACE_MARGIN: Duration = Duration::from_secs(30);

/// Who the conductor is, as the downward API tells it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its pod.
    pub pod: String,
    /// That pod's UID.
    pub pod_uid: String,
    /// Its Job.
    pub job: String,
    /// Directory with the operator account's `username` and `password`.
    pub credentials: PathBuf,
}

/// Carries an order out and returns how it ended.
pub async fn conduct(
    order: &str,
    identity: &Identity,
    out: impl std::io::Write + Send + 'static,
) -> Outcome<RunReport> {
    let events = KeptWarnings { inner: JsonLines::new(out), warnings: Mutex::default() };
    let done = try_conduct(order, identity, &events).await;
    if let Err(failure) = &done {
        events.send(Phase::Isolate, EventKind::Failed { message: failure.message.clone() });
    }
    let warnings = events.warnings.into_inner().unwrap_or_else(PoisonError::into_inner);
    match done {
        Ok(report) => Outcome::done(report, warnings),
        Err(failure) => Outcome::failed(failure, warnings),
    }
}

/// Passes reports on and keeps the warnings among them: they belong into the outcome, which outlives the log.
struct KeptWarnings {
    inner: JsonLines,
    warnings: Mutex<Vec<String>>,
}

impl EventSink for KeptWarnings {
    fn send(&self, phase: Phase, kind: EventKind) {
        if let EventKind::Warned { message } = &kind {
            self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(message.clone());
        }
        self.inner.send(phase, kind);
    }
}

async fn try_conduct(order: &str, identity: &Identity, events: &KeptWarnings) -> Result<RunReport, Failure> {
    // Before anything else: PID 1 without a handler ignores SIGTERM.
    let mut stopped = Stopped::listen()?;
    let order = parse(order)?;
    let client = in_cluster().map_err(|error| Failure::of(&error))?;
    let cluster = KubernetesCluster::new(client.clone(), &identity.namespace, &order.statefulset);
    let view = cluster.view().await.map_err(|error| Failure::of(&error))?;
    let settings = settings(&cluster, &order).await?;
    let runners = RunnerPods::new(client.clone(), owner(identity, &order, &settings), view.server.clone());
    let catalogue = ConfigMapCatalogue::new(client.clone(), &identity.namespace, &settings.hash_config_map);
    let credentials = Credentials::read(&identity.credentials).map_err(|error| Failure::of(&error))?;
    let galera = GaleraMembers::new(credentials, GATE);
    let ports = ConductorPorts {
        cluster: &cluster,
        galera: &galera,
        runners: &runners,
        catalogue: &catalogue,
        clock: &SystemClock,
        events,
    };
    let lease_name = Settings::config_map_name(&order.statefulset);
    // Two pods of one Job are two holders.
    let holder = format!("{}/{}", identity.job, identity.pod_uid);
    let taking = lease::take(client, &identity.namespace, &lease_name, &holder);
    let lease = tokio::select! {
        taken = taking => taken.map_err(|error| locked(&error))?,
        signal = stopped.signal() => return Err(stopped_by(signal)),
    };
    let done = tokio::select! {
        done = carry_out(&order, identity, &settings, &ports) => done,
        () = lease.lost() => return Err(Failure::new(ExitCode::FailedInCluster, format!("lost Lease {lease_name}"))
            .with_cause("it could not be renewed in time; the runner finishes or breaks off by itself")
            .with_hint("the next run settles what is owed; kubectl mariadb-backup verify names a backup that was finished meanwhile")),
        signal = stopped.signal() => {
            settle_own(identity, &settings, &ports).await;
            Err(stopped_by(signal))
        }
    };
    if let Err(error) = lease.release().await {
        events.send(Phase::Record, EventKind::Warned { message: error.to_string() });
    }
    done
}

fn stopped_by(signal: &str) -> Failure {
    Failure::new(ExitCode::FailedInCluster, format!("stopped by {signal}"))
        .with_hint("kubectl mariadb-backup create starts anew, and settles what may still be owed")
}

/// Settles what this very run owes when it was stopped in the middle; the pod's grace period is made for it.
///
/// A record left behind would end a desync that somebody else asks for later.
async fn settle_own(identity: &Identity, settings: &Settings, ports: &ConductorPorts<'_>) {
    let Ok(view) = ports.cluster.view().await else { return };
    let Some(owed) = view.obligation.filter(|owed| owed.run == identity.job) else { return };
    if let Err(error) = obligations::settle(&owed, settings.resync_timeout, ports).await {
        ports.events.send(Phase::Copy, EventKind::Warned { message: error.to_string() });
    }
}

fn parse(order: &str) -> Result<Order, Failure> {
    let order: Order = serde_json::from_str(order)
        .map_err(|error| Failure::new(ExitCode::Usage, "cannot understand the order").with_cause(error.to_string()))?;
    if order.version != ORDER_VERSION {
        let what = format!("the order has version {}, this agent understands {ORDER_VERSION}", order.version);
        return Err(Failure::new(ExitCode::Usage, what).with_hint("use a plugin and an agent image of one version"));
    }
    Ok(order)
}

async fn settings(cluster: &KubernetesCluster, order: &Order) -> Result<Settings, Failure> {
    let stored = cluster.settings().await.map_err(|error| Failure::of(&error))?;
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

async fn carry_out(
    order: &Order,
    identity: &Identity,
    settings: &Settings,
    ports: &ConductorPorts<'_>,
) -> Result<RunReport, Failure> {
    settle_what_is_owed(settings, ports).await?;
    match &order.task {
        Task::Backup(request) => back_up(request, identity, settings, ports).await,
        Task::Verify(request) => verify_store(request, identity, settings, ports).await,
        other => Err(Failure::new(ExitCode::Usage, format!("this agent does not do {} yet", other.word()))),
    }
}

async fn settle_what_is_owed(settings: &Settings, ports: &ConductorPorts<'_>) -> Result<(), Failure> {
    let view = ports.cluster.view().await.map_err(|error| Failure::of(&error))?;
    let Some(owed) = view.obligation else { return Ok(()) };
    let message = format!("run {} left an obligation at {}; settling it first", owed.run, owed.since);
    ports.events.step(Phase::Isolate, message);
    obligations::settle(&owed, settings.resync_timeout, ports).await.map_err(|error| Failure::of(&error))
}

async fn back_up(
    request: &BackupRequest,
    identity: &Identity,
    settings: &Settings,
    ports: &ConductorPorts<'_>,
) -> Result<RunReport, Failure> {
    // Read before anything is done: a backup that cannot be entered is not worth hours of copying.
    let (catalogue, _) = ports.catalogue.read().await.map_err(|error| Failure::of(&error))?;
    if !catalogue.has_room() {
        return Err(Failure::new(ExitCode::Refused, format!("catalogue {} is full", settings.hash_config_map))
            .with_hint("delete old backups and their entries in the catalogue"));
    }
    let observed = observe(settings, ports).await.map_err(|error| Failure::of(&error))?;
    let now = ports.clock.now();
    let run = Run { job: identity.job.clone(), backup: BackupName::at(now), now };
    let plan = backup::plan(&observed, request, settings, &run).map_err(|refusal| Failure::of(&refusal))?;
    let report = backup::run(&plan, ports).await.map_err(backup::BackupError::into_failure)?;
    Ok(RunReport::Backup(report))
}

async fn verify_store(
    request: &VerifyRequest,
    identity: &Identity,
    settings: &Settings,
    ports: &ConductorPorts<'_>,
) -> Result<RunReport, Failure> {
    let (catalogue, _) = ports.catalogue.read().await.map_err(|error| Failure::of(&error))?;
    let plan = verify::plan(&catalogue, request, settings, &identity.job).map_err(|error| Failure::of(&error))?;
    verify::run(&plan, ports).await.map(RunReport::Verify).map_err(|error| Failure::of(&error))
}

/// Looks at everything a backup's plan needs; all servers are asked at once.
async fn observe(settings: &Settings, ports: &ConductorPorts<'_>) -> Result<Observed, PortError> {
    let store = ports.cluster.claim(&settings.store_claim).await?;
    let cluster = ports.cluster.view().await?;
    let members = ask_all(&cluster, ports.galera).await?;
    Ok(Observed { cluster, members, store })
}

async fn ask_all(
    cluster: &ClusterView,
    galera: &dyn Galera,
) -> Result<Vec<(String, Result<crate::model::galera::Member, String>)>, PortError> {
    let asked = cluster.pods.iter().filter_map(|pod| {
        let server = ServerAddress { host: pod.ip.clone()?, port: cluster.server.port };
        Some(async move { (pod.name.clone(), galera.member(&server).await) })
    });
    let mut members = Vec::new();
    for (pod, answer) in join_all(asked).await {
        let member = match answer {
            // A wrong password is the same for every replica, and no verdict about any of them.
            Err(error) if error.reason == Reason::Credentials => return Err(error),
            Err(error) => Err(Failure::of(&error).causes.pop().unwrap_or_else(|| error.to_string())),
            Ok(member) => Ok(member),
        };
        members.push((pod, member));
    }
    Ok(members)
}

/// The signals with which Kubernetes, or a person, ends a pod.
struct Stopped {
    terminate: Signal,
    interrupt: Signal,
}

impl Stopped {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(ExitCode::Error, "cannot listen for signals").with_cause(error.to_string())
            })
        };
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn signal(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
