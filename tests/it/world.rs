//! A small simulated cluster behind the conductor's ports, with a journal of effects.
//!
//! Three replicas, two stores, runners of every kind, its own clock. Every effect is numbered and
//! written into the journal before it happens; a test can make any one of them fail, or kill there
//! whoever does it: the conductor or a runner. What a dead conductor leaves behind stays, so the next
//! run meets it, as it would in the cluster.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use mariadb_backup::backup::{self, Observed};
use mariadb_backup::model::backup_id::BackupId;
use mariadb_backup::model::catalogue::{Catalogue, Entry, Presence};
use mariadb_backup::model::cluster::{ClaimView, ClusterView, PodView, ServerSpec};
use mariadb_backup::model::galera::Member;
use mariadb_backup::model::obligation::Obligation;
use mariadb_backup::model::order::{BackupRequest, ServerAddress, StoreName};
use mariadb_backup::model::outcome::{Explain, Failure};
use mariadb_backup::model::report::CopyReport;
use mariadb_backup::model::settings::Settings;
use mariadb_backup::obligations;
use mariadb_backup::ports::conductor::{ConductorPorts, Sight};
use mariadb_backup::ports::{PortError, Reason};

mod ports;
mod prove;
mod runner;
pub(crate) mod shelf;

use runner::SimRunnerState;
use shelf::{Shelves, Stored};

/// What one effect shall do instead of happening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails, and nothing happens.
    Fail,
    /// It happens, but the caller is told that it failed: an answer lost on its way.
    AnswerLost,
    /// Whoever does it dies before it.
    DieBefore,
    /// Whoever does it dies right after it.
    DieAfter,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [Self::Fail, Self::AnswerLost, Self::DieBefore, Self::DieAfter];
}

/// How a simulated copy goes once it may go ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RunnerScript {
    /// It copies and brings the replica back.
    #[default]
    Good,
    /// Its copy fails, and it brings the replica back.
    CopyFails,
    /// It is killed while the replica is desynced.
    Killed,
    /// Its own checks refuse.
    Refuses,
    /// It copies well, but its replica refuses every OFF.
    Stuck,
    /// It copies well, but the upload breaks off.
    UploadFails,
    /// It is killed while it uploads.
    KilledUploading,
    /// It tells the same progress for ever.
    Mute,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) journal: Vec<String>,
    effects: usize,
    fault: Option<(usize, Fault)>,
    pub(crate) obligation: Option<Obligation>,
    pub(crate) catalogue: Catalogue,
    /// So many backups that an inventory tells from now on are never heard of.
    pub(crate) events_lost: u32,
    /// Why the catalogue makes no sense.
    pub(crate) malformed: Option<&'static str>,
    version: u64,
    pub(crate) desynced: [bool; REPLICAS],
    /// The id every server has in the group until it is restarted.
    pub(crate) incarnation: String,
    /// What lies in the stores.
    pub(crate) shelves: Shelves,
    /// A storage class that is not there.
    pub(crate) missing_class: Option<&'static str>,
    /// Settings of the cluster, by key.
    pub(crate) settings: BTreeMap<String, String>,
    /// What [`World::back_up`] asks for.
    pub(crate) request: BackupRequest,
    /// The replica with the role of the primary.
    pub(crate) primary: Option<usize>,
    /// What is seen of the target, one after the other, once it is desynced.
    pub(crate) sights: VecDeque<Sight>,
    /// Whether the target's files are others than those the last backup was made of.
    pub(crate) files_replaced: bool,
    /// Whether the minute that traffic has to leave is over at once.
    pub(crate) impatient: bool,
    /// Warnings of all runs.
    pub(crate) warnings: Vec<String>,
    /// Steps of all runs.
    pub(crate) steps: Vec<String>,
    runners: BTreeMap<String, SimRunnerState>,
    gate_closed: bool,
    now: i64,
    pub(crate) script: RunnerScript,
}

/// The simulated cluster.
#[derive(Clone, Default)]
pub(crate) struct World(pub(crate) Arc<Mutex<State>>);

pub(crate) const REPLICAS: usize = 3;
const NAMES: [&str; REPLICAS] = ["db-0", "db-1", "db-2"];
const STATE_UUID: &str = "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002";

/// What unwinds when a conductor dies; resumed rather than raised, so that no panic message is printed.
struct Died;

impl World {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A conductor that "dies" does so while it holds no lock of ours.
        self.0.lock().unwrap()
    }

    pub(crate) fn with_fault(self, at: usize, fault: Fault) -> Self {
        self.lock().fault = Some((at, fault));
        self
    }

    pub(crate) fn with_script(self, script: RunnerScript) -> Self {
        self.lock().script = script;
        self
    }

    pub(crate) fn with_setting(self, key: &str, value: &str) -> Self {
        self.lock().settings.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Puts a good backup into the stores and enters it.
    pub(crate) fn with_backup(self, backup: &str, local: Presence, s3: Presence) -> Self {
        let backup: BackupId = backup.parse().unwrap();
        let mut state = self.lock();
        state.catalogue.files.extend(shelf::files(&backup));
        state.catalogue.entries.insert(backup.clone(), Entry { local, s3, ..Entry::default() });
        for (store, presence) in [(StoreName::Local, local), (StoreName::S3, s3)] {
            let stored = match presence {
                Presence::Present => Stored::Whole,
                Presence::Damaged => Stored::Damaged,
                Presence::Unfinished => Stored::Unfinished,
                Presence::Absent | Presence::Missing => continue,
            };
            state.shelves.of(store).0.insert(backup.clone(), stored);
        }
        drop(state);
        self
    }

    /// Gives the target the role of the primary, and lets traffic leave it once it is desynced.
    pub(crate) fn with_primary_target(self) -> Self {
        let mut state = self.lock();
        state.primary = Some(2);
        let sight = |ready, role: &str| Sight { ready, role: Some(role.to_owned()), services: Vec::new() };
        let services = vec!["db-primary".to_owned()];
        state.sights = [Sight { services, ..sight(false, "primary") }, sight(false, "backup")].into();
        drop(state);
        self
    }

    /// Number of effects so far.
    pub(crate) fn effects(&self) -> usize {
        self.lock().effects
    }

    /// Does one effect of the conductor, unless the fault of this world is due.
    fn effect<T>(&self, name: &str, act: impl FnOnce(&mut State) -> Result<T, PortError>) -> Result<T, PortError> {
        let mut state = self.lock();
        let due = state.next_effect();
        let failed = || PortError::new(Reason::Unreachable, format!("{name}: injected"));
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

    fn view(state: &State) -> ClusterView {
        let role = |n: usize| state.primary.map(|primary| if primary == n { "primary" } else { "replica" }.to_owned());
        ClusterView {
            namespace: "demo".to_owned(),
            statefulset: "db".to_owned(),
            uid: "set-uid".to_owned(),
            replicas: 3,
            pods: (0..REPLICAS).map(|n| PodView { role: role(n), ..pod(n) }).collect(),
            server: ServerSpec { container: "mariadb".to_owned(), port: 3306, ..ServerSpec::default() },
            flavour: mariadb_backup::model::workload::Flavour::Plain,
            obligation: state.obligation.clone(),
            last_restore: None,
        }
    }

    /// What a plan is made from, without any effect.
    pub(crate) fn observed(&self) -> Observed {
        let state = self.lock();
        let members = (0..REPLICAS).map(|n| (NAMES[n].to_owned(), Ok(state.member(n)))).collect();
        Observed {
            cluster: Self::view(&state),
            members,
            store: Some(claim("store")),
            catalogue: state.catalogue.clone(),
        }
    }

    /// The cluster's settings.
    pub(crate) fn settings(&self) -> Settings {
        Settings::read("db", &self.lock().settings, &BTreeMap::new()).unwrap()
    }

    /// The cluster as a run first sees it, without any effect.
    pub(crate) fn cluster(&self) -> ClusterView {
        Self::view(&self.lock())
    }

    /// Runs what a conductor does; `None` when it died.
    ///
    /// What the dead one left goes on without it: its runners, its obligation.
    pub(crate) fn conduct<T>(&self, work: impl AsyncFnOnce(&ConductorPorts<'_>) -> T) -> Option<T> {
        let run = std::panic::AssertUnwindSafe(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let ports = ConductorPorts {
                cluster: self,
                galera: self,
                runners: self,
                catalogue: self,
                clock: self,
                events: self,
            };
            runtime.block_on(work(&ports))
        });
        match std::panic::catch_unwind(run) {
            Ok(done) => Some(done),
            Err(cause) if cause.is::<Died>() => {
                self.conductor_died();
                None
            }
            Err(cause) => std::panic::resume_unwind(cause),
        }
    }

    /// Takes a backup as a conductor does: settles what is owed, then the whole workflow. `None` when it died.
    pub(crate) fn back_up(&self, job: &str) -> Option<Result<CopyReport, Failure>> {
        let (settings, request) = (self.settings(), self.lock().request.clone());
        // Two runs never begin in the same second.
        self.lock().now += 60;
        self.conduct(async |ports| {
            self.settle_what_is_owed(ports).await?;
            backup::take(&request, &settings, job, ports).await.map_err(Explain::into_failure)
        })
    }

    /// Settles what a dead run owes, as every run does first.
    pub(crate) async fn settle_what_is_owed(&self, ports: &ConductorPorts<'_>) -> Result<(), Failure> {
        let Some(owed) = self.lock().obligation.clone() else { return Ok(()) };
        let limit = self.settings().resync_timeout;
        obligations::settle(&owed, limit, ports).await.map_err(|error| Failure::of(&error))
    }

    fn conductor_died(&self) {
        let mut state = self.lock();
        state.fault = None;
        state.gate_closed = false;
        let names: Vec<_> = state.runners.keys().cloned().collect();
        // A runner that waits at the gate finds nobody behind it and gives up; one that waits for
        // traffic to leave finds the lock free; one that works goes on.
        state.runners.retain(|_, runner| runner.gone_ahead);
        state.runners.values_mut().for_each(|runner| runner.held = false);
        drop(state);
        for name in &names {
            self.let_work(name);
        }
    }

    /// Everything that must hold at any moment, whatever was killed, and does not.
    pub(crate) fn broken_promises(&self) -> Vec<String> {
        let state = self.lock();
        let mut broken = Vec::new();
        if state.desynced.contains(&true) && state.obligation.is_none() {
            broken.push("a replica is desynced without an obligation".to_owned());
        }
        for (backup, entry) in &state.catalogue.entries {
            let listed = entry.removing.is_none() && state.catalogue.backups().contains(backup);
            let claims = [(entry.local, &state.shelves.local), (entry.s3, &state.shelves.s3)];
            for (presence, shelf) in claims {
                if listed && presence == Presence::Present && !shelf.has(backup) {
                    broken.push(format!("{backup} is listed and not whole: {entry:?}"));
                }
            }
        }
        let shelves = [&state.shelves.local, &state.shelves.s3];
        for increment in shelves.iter().flat_map(|shelf| shelf.signed_off()) {
            let base = increment.base().cloned().map(BackupId::Full);
            if base.is_some_and(|base| !shelves.iter().any(|shelf| shelf.has(&base))) {
                broken.push(format!("the base of {increment} is gone"));
            }
        }
        broken
    }
}

impl State {
    /// Numbers the next effect and tells what shall become of it.
    fn next_effect(&mut self) -> Option<Fault> {
        let number = self.effects;
        self.effects += 1;
        self.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault)
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + self.now).unwrap()
    }

    fn member(&self, n: usize) -> Member {
        Member { gcomm_uuid: self.incarnation.clone(), ..member(self.desynced[n]) }
    }

    /// Backups that are signed off in a store and that the catalogue does not know.
    pub(crate) fn unlisted(&self) -> Vec<BackupId> {
        let known = self.catalogue.backups();
        let there = self.shelves.local.signed_off().into_iter().chain(self.shelves.s3.signed_off());
        there.filter(|backup| !known.contains(backup)).collect()
    }

    /// Whether a runner may still be at work, or be waiting to be.
    pub(crate) fn runner_at_work(&self) -> bool {
        self.runners.values().any(|runner| !runner.worked)
    }

    /// Whether there is any runner's pod.
    pub(crate) fn runner_exists(&self) -> bool {
        !self.runners.is_empty()
    }
}

fn pod(ordinal: usize) -> PodView {
    PodView {
        name: NAMES[ordinal].to_owned(),
        ordinal: u32::try_from(ordinal).unwrap(),
        uid: format!("pod-uid-{ordinal}"),
        ip: Some(format!("10.0.0.{ordinal}")),
        node: Some(format!("n{ordinal}")),
        ready: true,
        terminating: false,
        role: None,
        claim: Some(claim(&format!("data-{ordinal}"))),
    }
}

pub(crate) fn claim(name: &str) -> ClaimView {
    ClaimView {
        name: name.to_owned(),
        uid: format!("{name}-uid"),
        phase: "Bound".to_owned(),
        access_modes: vec!["ReadWriteOnce".to_owned()],
        capacity_bytes: Some(10 << 30),
        nodes: None,
        waits_for_consumer: false,
    }
}

pub(crate) fn member(desynced: bool) -> Member {
    Member {
        ready: true,
        connected: true,
        cluster_status: "Primary".to_owned(),
        state: if desynced { "Donor/Desynced" } else { "Synced" }.to_owned(),
        cluster_size: 3,
        state_uuid: STATE_UUID.to_owned(),
        desync_count: u32::from(desynced),
        datadir: "/var/lib/mysql/".to_owned(),
        version: "10.11.19-MariaDB".to_owned(),
        ..Member::default()
    }
}

fn ordinal(server: &ServerAddress) -> usize {
    server.host.rsplit('.').next().unwrap().parse().unwrap()
}
