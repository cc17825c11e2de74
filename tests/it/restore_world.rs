//! A small simulated cluster as a restore sees it: a StatefulSet that starts and stops servers, volumes
//! with data in one history or another, and runners that change them.
//!
//! Servers start as real ones do: they join whoever serves, else start the cluster where their data say
//! that they may. Every effect is numbered and can fail, or kill the conductor there. Whoever breaks a
//! promise on the way is written down at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mariadb_backup::model::catalogue::{Catalogue, Entry, Presence};
use mariadb_backup::model::cluster::{ClaimView, ClusterView, PodView, ServerSpec};
use mariadb_backup::model::galera::{Member, Position};
use mariadb_backup::model::obligation::{Debt, Obligation};
use mariadb_backup::model::order::{RefillAct, RestoreRequest, RunnerTask};
use mariadb_backup::model::outcome::{Explain, Failure};
use mariadb_backup::model::report::{LastRestore, RestorePreview, RestoreReport};
use mariadb_backup::model::settings::Settings;
use mariadb_backup::model::workload::{Flavour, Pace, Replica, Scale, Workload};
use mariadb_backup::ports::conductor::ConductorPorts;
use mariadb_backup::ports::restore::RestorePorts;
use mariadb_backup::ports::{PortError, Reason};
use mariadb_backup::restore::{self, Observed, RestoreError, RestorePlan, Resumed};

use crate::world::{Fault, claim};

mod ports;
mod rest;
mod servers;
mod volumes;

pub(crate) use volumes::{Data, RunnerFault, Volume};

/// The history the cluster is in before.
pub(crate) const OLD: &str = "01d00000-f1d0-11ef-8a4c-0242ac110002";
/// The history a proof begins.
pub(crate) const NEW: &str = "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002";
/// The backup.
pub(crate) const BACKUP: &str = "base/2026-01-31_00-00-00";

/// A pod that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// The history it serves; `None` while it does not.
    pub(crate) serves: Option<String>,
    /// It does not end when it is told to.
    pub(crate) stuck: bool,
}

#[expect(clippy::struct_excessive_bools, reason = "each is something a test wants to go wrong")]
pub(crate) struct State {
    pub(crate) journal: Vec<String>,
    pub(crate) broken: Vec<String>,
    pub(crate) steps: Vec<String>,
    pub(crate) warnings: Vec<String>,
    effects: usize,
    fault: Option<(usize, Fault)>,
    pub(crate) obligation: Option<Obligation>,
    pub(crate) last: Option<LastRestore>,
    pub(crate) catalogue: Catalogue,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) scale: Scale,
    pub(crate) replicas: i32,
    pub(crate) pods: BTreeMap<i32, Server>,
    pub(crate) volumes: BTreeMap<i32, Volume>,
    /// Whose data, as they were at first, are of a server that was ended in the middle of a state transfer, or of a
    /// change of tables.
    pub(crate) in_doubt: BTreeSet<i32>,
    /// Whose file names a history all the same, since it was written there.
    pub(crate) named: BTreeSet<i32>,
    /// So many times nobody answers who is asked.
    pub(crate) silent: u32,
    /// Whether a copy was unpacked, prepared and booted, and lies ready: beside the data or elsewhere.
    pub(crate) proven: Option<i32>,
    /// Whether the volume of backups can be mounted on any number of nodes at once.
    pub(crate) shared_store: bool,
    /// Whether a copy for the other replicas lies on the volume of backups.
    pub(crate) lent: bool,
    /// There is no room for it.
    pub(crate) no_room_to_lend: bool,
    /// How many replicas are known by their claims alone; the cluster is stopped.
    pub(crate) stopped: i32,
    /// Falls out of the group as soon as it has joined one that is restored, and stays out until it is ended.
    pub(crate) stray: Option<i32>,
    /// Has one row more than the others in every table.
    pub(crate) has_a_row_more: Option<i32>,
    /// A replica on which clients write from its start on.
    pub(crate) is_written: bool,
    /// The restored data have a row less in every table than were counted when they were proven.
    pub(crate) has_lost_a_row: bool,
    /// No table may be read.
    pub(crate) tables_are_closed: bool,
    /// The restored data do not start.
    pub(crate) restored_is_sick: bool,
    /// The backup is damaged in the store it is taken from first.
    pub(crate) first_copy_is_damaged: bool,
    /// Bytes it takes unpacked.
    pub(crate) unpacked_bytes: u64,
    /// What an effect that fails fails with.
    pub(crate) failing: Reason,
    /// How many runners have begun their work.
    pub(crate) runner_runs: usize,
    /// Which of them comes to grief, and how.
    pub(crate) runner_fault: Option<(usize, RunnerFault)>,
    /// Somebody starts a pod in the middle of writing, so often.
    pub(crate) intruders: u32,
    /// Whether the first that is left alone by others has no majority without them.
    pub(crate) loses_majority: bool,
    /// The one that has lost it, until it is started again.
    headless: Option<i32>,
    /// So many times old data cannot be put back: the volume is read-only.
    pub(crate) put_backs_fail: u32,
    /// Whether somebody scales the cluster back whenever it was stopped.
    pub(crate) is_scaled_back: bool,
    /// A claim that was named to unpack on.
    pub(crate) named_claim: bool,
    /// What can still be written to each data volume, and what its data take.
    pub(crate) free_bytes: u64,
    pub(crate) data_bytes: u64,
    /// Whether the data directory is not the root of its volume.
    pub(crate) has_siblings: bool,
    /// No runner that waits can be reached.
    pub(crate) deaf: bool,
    /// What runners that wait were told: to begin, or that nobody will tell them.
    words: BTreeMap<String, Option<bool>>,
    runners: BTreeMap<String, RunnerTask>,
    claims_of: BTreeMap<String, i32>,
    pub(crate) now: i64,
}

/// The simulated cluster.
#[derive(Clone)]
pub(crate) struct RestoreWorld(Arc<Mutex<State>>);

/// What unwinds when a conductor dies.
struct Died;

impl RestoreWorld {
    /// A healthy cluster of that many replicas, with one backup on the volume of backups.
    pub(crate) fn new(replicas: i32) -> Self {
        let mut catalogue = Catalogue::default();
        let backup = BACKUP.parse().unwrap();
        catalogue.files.extend(crate::world::shelf::files(&backup));
        let position = Some(Position { uuid: OLD.to_owned(), seqno: 100 });
        let entry = Entry {
            local: Presence::Present,
            s3: Presence::Present,
            stream_bytes: Some(1 << 20),
            position,
            ..Entry::default()
        };
        catalogue.entries.insert(backup, entry);
        let old = |n: i32| Data::Whole { history: OLD.to_owned(), seqno: 500 + i64::from(n), safe: false };
        let settings = [("MARIADB_BACKUP_BOOTSTRAP", "grastate"), ("MARIADB_BACKUP_STORE", "both")];
        let state = State {
            journal: Vec::new(),
            broken: Vec::new(),
            steps: Vec::new(),
            warnings: Vec::new(),
            effects: 0,
            fault: None,
            obligation: None,
            last: None,
            catalogue,
            settings: settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            scale: Scale { replicas, first: 0 },
            replicas,
            pods: (0..replicas).map(|n| (n, Server { serves: Some(OLD.to_owned()), stuck: false })).collect(),
            volumes: (0..replicas).map(|n| (n, Volume { data: old(n), old: None })).collect(),
            in_doubt: BTreeSet::new(),
            named: BTreeSet::new(),
            silent: 0,
            proven: None,
            shared_store: false,
            lent: false,
            no_room_to_lend: false,
            stopped: 0,
            stray: None,
            has_a_row_more: None,
            is_written: false,
            has_lost_a_row: false,
            tables_are_closed: false,
            restored_is_sick: false,
            first_copy_is_damaged: false,
            unpacked_bytes: 1,
            failing: Reason::Unreachable,
            runner_runs: 0,
            runner_fault: None,
            intruders: 0,
            loses_majority: false,
            headless: None,
            put_backs_fail: 0,
            is_scaled_back: false,
            named_claim: false,
            free_bytes: 10 << 30,
            data_bytes: 1 << 30,
            has_siblings: true,
            deaf: false,
            words: BTreeMap::new(),
            runners: BTreeMap::new(),
            claims_of: (0..replicas).map(|n| (format!("data-db-{n}"), n)).collect(),
            now: 0,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn with(self, change: impl FnOnce(&mut State)) -> Self {
        change(&mut self.lock());
        self
    }

    pub(crate) fn with_fault(self, at: usize, fault: Fault) -> Self {
        self.with(|state| state.fault = Some((at, fault)))
    }

    pub(crate) fn effects(&self) -> usize {
        self.lock().effects
    }

    fn effect<T>(&self, name: &str, act: impl FnOnce(&mut State) -> Result<T, PortError>) -> Result<T, PortError> {
        let mut state = self.lock();
        let number = state.effects;
        state.effects += 1;
        let due = state.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        let reason = state.failing;
        let failed = || PortError::new(reason, format!("{name}: injected"));
        if due == Some(Fault::Fail) {
            state.journal.push(format!("{name} FAILED"));
            return Err(failed());
        }
        if due == Some(Fault::DieBefore) {
            state.journal.push(format!("died before {name}"));
            drop(state);
            std::panic::resume_unwind(Box::new(Died));
        }
        let done = act(&mut state);
        state.journal.push(name.to_owned());
        match due {
            Some(Fault::AnswerLost) => Err(failed()),
            Some(Fault::DieAfter) => {
                state.journal.push(format!("died after {name}"));
                drop(state);
                std::panic::resume_unwind(Box::new(Died));
            }
            _ => done,
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::read("db", &self.lock().settings, &BTreeMap::new()).unwrap()
    }

    /// Runs what a conductor does; `None` when it died, whose runners then go on without it.
    fn conduct<T>(&self, work: impl AsyncFnOnce(&RestorePorts<'_>) -> T) -> Option<T> {
        let run = std::panic::AssertUnwindSafe(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let conductor = ConductorPorts {
                cluster: self,
                galera: self,
                runners: self,
                catalogue: self,
                clock: self,
                events: self,
            };
            runtime.block_on(work(&RestorePorts { conductor: &conductor, workload: self, go_aheads: self }))
        });
        match std::panic::catch_unwind(run) {
            Ok(done) => Some(done),
            Err(cause) if cause.is::<Died>() => {
                let mut state = self.lock();
                state.fault = None;
                let left: Vec<_> = state.runners.keys().cloned().collect();
                drop(state);
                for name in &left {
                    self.work_of(name);
                }
                None
            }
            Err(cause) => std::panic::resume_unwind(cause),
        }
    }

    /// Restores as a conductor does; goes on with what a dead one left first.
    pub(crate) fn restore(&self, job: &str) -> Option<Result<RestoreReport, Failure>> {
        let scratch_claim = self.lock().named_claim.then(|| "spare".to_owned());
        self.restore_as(job, &RestoreRequest { scratch_claim, ..request() })
    }

    /// The same, by a wish of its own.
    pub(crate) fn restore_as(&self, job: &str, request: &RestoreRequest) -> Option<Result<RestoreReport, Failure>> {
        self.conduct(async |ports| {
            if let Some(report) = self.go_on(job, ports).await? {
                return Ok(report);
            }
            let (settings, cluster) = (self.settings(), self.cluster());
            let mut observed = self.observed(&settings, &cluster, job);
            let plan = restore::settle(&mut observed, request, ports).await.map_err(Explain::into_failure)?;
            restore::run(&plan, job, ports).await.map_err(Explain::into_failure)
        })
    }

    /// Says what a restore would do.
    pub(crate) fn preview(&self, request: &RestoreRequest) -> Result<RestorePreview, Failure> {
        let preview = self.conduct(async |ports| {
            let (settings, cluster) = (self.settings(), self.cluster());
            let mut observed = self.observed(&settings, &cluster, "job");
            let plan = restore::settle(&mut observed, request, ports).await.map_err(Explain::into_failure)?;
            Ok(restore::preview(&plan, &observed))
        });
        preview.unwrap()
    }

    /// Plans with what the volumes look like.
    pub(crate) fn settled(
        &self,
        observed: &mut Observed<'_>,
        request: &RestoreRequest,
    ) -> Result<RestorePlan, RestoreError> {
        self.conduct(async |ports| restore::settle(observed, request, ports).await).unwrap()
    }

    /// Removes the runners of dead runs, as every run does first.
    pub(crate) fn remove_orphans(&self) {
        self.lock().runners.clear();
    }

    /// Settles what a dead restore left; `Ok(None)` when there was nothing to finish.
    pub(crate) fn recover(&self, job: &str) -> Option<Result<Option<RestoreReport>, Failure>> {
        self.conduct(async |ports| self.go_on(job, ports).await)
    }

    /// Starts the cluster from a replica that a person has chosen.
    pub(crate) fn recover_from(&self, job: &str, ordinal: i32) -> Option<Result<RestoreReport, Failure>> {
        self.conduct(async |ports| {
            let owed = self.lock().obligation.clone().expect("a restore is owed");
            let Debt::Restore(debt) = &owed.debt else { panic!("only restores are owed here") };
            let settings = self.settings();
            let choice = restore::check_choice(ordinal, &owed, debt, &settings, job, ports).await;
            let choice = choice.map_err(Explain::into_failure)?;
            self.lock().runners.clear();
            let started = restore::resume_from(&choice, &owed, debt, &settings, job, ports).await;
            started.map_err(Explain::into_failure)
        })
    }

    async fn go_on(&self, job: &str, ports: &RestorePorts<'_>) -> Result<Option<RestoreReport>, Failure> {
        let Some(owed) = self.lock().obligation.clone() else { return Ok(None) };
        let Debt::Restore(debt) = &owed.debt else { panic!("only restores are owed here") };
        for orphan in ports.conductor.runners.orphans().await.unwrap() {
            ports.conductor.runners.remove(&orphan).await.unwrap();
        }
        let resumed = restore::resume(&owed, debt, &self.settings(), job, ports).await;
        Ok(match resumed.map_err(Explain::into_failure)? {
            Resumed::Done(report) => Some(*report),
            Resumed::GivenUp => None,
        })
    }

    pub(crate) fn observed<'a>(&self, settings: &'a Settings, cluster: &'a ClusterView, job: &'a str) -> Observed<'a> {
        let state = self.lock();
        let members = cluster.pods.iter().map(|pod| {
            let said = state.member(i32::try_from(pod.ordinal).unwrap());
            (pod.name.clone(), said.ok_or_else(|| "connection refused".to_owned()))
        });
        Observed {
            cluster,
            settings,
            catalogue: state.catalogue.clone(),
            workload: state.workload(),
            members: members.collect(),
            store: settings.stores.local().then(|| ClaimView {
                access_modes: vec![if state.shared_store { "ReadWriteMany" } else { "ReadWriteOnce" }.to_owned()],
                ..claim(&settings.store_claim)
            }),
            looks: BTreeMap::new(),
            job,
            now: state.time(),
        }
    }

    pub(crate) fn cluster(&self) -> ClusterView {
        self.lock().view()
    }
}

/// A wish to go back to the one backup.
pub(crate) fn request() -> RestoreRequest {
    RestoreRequest {
        backup: BACKUP.parse().unwrap(),
        store: None,
        leader: None,
        refill: None,
        replicas: None,
        scratch_claim: None,
        keep_old_data: false,
        no_rollback: false,
        gitops_paused: false,
        operator_suspended: false,
        ignore_logins: false,
        ignore_rows: false,
        sets_aside: None,
        dry_run: false,
        of_another: None,
    }
}

impl State {
    fn time(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_second(1_780_000_000 + self.now).unwrap()
    }

    pub(crate) fn replica(ordinal: i32) -> Replica {
        Replica { ordinal, pod: format!("db-{ordinal}"), claim: format!("data-db-{ordinal}") }
    }

    fn claim(ordinal: i32) -> ClaimView {
        claim(&format!("data-db-{ordinal}"))
    }

    pub(crate) fn workload(&self) -> Workload {
        let replicas = if self.scale.replicas == 0 { self.stopped } else { self.scale.replicas };
        let range = self.scale.first..self.scale.first + replicas;
        Workload {
            scale: self.scale,
            replicas: range.map(|n| (Self::replica(n), Some(Self::claim(n)))).collect(),
            flavour: Flavour::Plain,
            deletes_claims: false,
            starts_at_any_ordinal: true,
            autoscalers: Vec::new(),
            controller: None,
            trouble: Vec::new(),
            keepers: Vec::new(),
            sees_nodes: true,
            pace: Pace { stop_at_most: Duration::from_secs(30), start: Some(Duration::from_secs(7)) },
        }
    }

    fn view(&self) -> ClusterView {
        let pod = |(n, server): (&i32, &Server)| PodView {
            name: format!("db-{n}"),
            ordinal: u32::try_from(*n).unwrap(),
            uid: format!("pod-{n}"),
            ip: Some(format!("10.0.0.{n}")),
            node: Some(format!("n{n}")),
            ready: server.serves.is_some(),
            terminating: server.stuck,
            role: None,
            claim: Some(Self::claim(*n)),
        };
        ClusterView {
            namespace: "demo".to_owned(),
            statefulset: "db".to_owned(),
            uid: "set-uid".to_owned(),
            replicas: self.scale.replicas,
            pods: self.pods.iter().map(pod).collect(),
            server: ServerSpec {
                port: 3306,
                mount_path: "/var/lib/mysql".to_owned(),
                sub_path: if self.has_siblings { "mysql" } else { "" }.to_owned(),
                ..ServerSpec::default()
            },
            flavour: Flavour::Plain,
            obligation: self.obligation.clone(),
            last_restore: self.last.clone(),
        }
    }

    fn member(&self, ordinal: i32) -> Option<Member> {
        if self.is_astray(ordinal) {
            let cluster_status = "Disconnected".to_owned();
            return Some(Member { cluster_status, ready: false, connected: false, ..crate::world::member(false) });
        }
        if self.headless == Some(ordinal) && self.pods.contains_key(&ordinal) {
            let cluster_status = "non-Primary".to_owned();
            return Some(Member { cluster_status, ready: false, ..crate::world::member(false) });
        }
        let history = self.pods.get(&ordinal)?.serves.clone()?;
        let size = self.pods.values().filter(|server| server.serves.as_ref() == Some(&history)).count();
        Some(Member {
            cluster_size: u32::try_from(size).unwrap(),
            state_uuid: history,
            last_committed: if self.pods.get(&ordinal)?.serves.as_deref() == Some(NEW) { 4 } else { 500 },
            replicated: Some(u64::from(self.is_written)),
            ..crate::world::member(false)
        })
    }

    /// Whether a server is up and out of the group for good.
    fn is_astray(&self, ordinal: i32) -> bool {
        self.stray == Some(ordinal) && self.pods.get(&ordinal).is_some_and(|server| server.serves.is_none())
    }

    /// How many effects were like that.
    pub(crate) fn times(&self, what: &str) -> usize {
        self.journal.iter().filter(|effect| effect.ends_with(what)).count()
    }

    /// The history that all serve.
    pub(crate) fn history(&self) -> Option<String> {
        self.pods.values().next().and_then(|server| server.serves.clone())
    }
}

/// What a runner was told, for the journal.
fn word(task: &RunnerTask) -> String {
    match task {
        RunnerTask::Prove(_) => "prove".to_owned(),
        RunnerTask::Refill(order) => match &order.act {
            RefillAct::Switch { .. } => "switch".to_owned(),
            RefillAct::Lend { .. } => "lend".to_owned(),
            RefillAct::Fill { .. } => "fill".to_owned(),
            RefillAct::Empty { .. } => "empty".to_owned(),
            RefillAct::PutBack { .. } => "put back".to_owned(),
            other => format!("{other:?}").to_lowercase(),
        },
        other => format!("{other:?}"),
    }
}
