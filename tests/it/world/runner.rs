//! The simulated runners: what each kind of order does to the replica and to the stores.
//!
//! A runner's effects are numbered together with its conductor's. A fault there fails that effect,
//! or kills the runner; its conductor learns of both the way it would in the cluster. A runner works
//! when somebody looks at it, removes it, or dies: it is never waited for in vain.

use std::collections::VecDeque;

use jiff::Timestamp;
use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::model::backup_id::BackupId;
use mariadb_backup::model::catalogue::{Entry, Presence};
use mariadb_backup::model::event::{EVENT_SCHEMA, Event, EventKind, Phase};
use mariadb_backup::model::galera::Position;
use mariadb_backup::model::manifest::DesyncTimes;
use mariadb_backup::model::order::{
    CheckOrder, CopyOrder, Depth, ExpectedBackup, InventoryOrder, KeepOrder, OnCorrupt, RunnerTask, StoreName, Stores,
};
use mariadb_backup::model::outcome::{Failure, Outcome};
use mariadb_backup::model::report::{
    CheckReport, CopyReport, FoundBackup, InventoryReport, KeepReport, Marks, Verdict,
};
use mariadb_backup::ports::conductor::RunnerNews;

use super::shelf::{Shelves, Stored, file, files};
use super::{Fault, RunnerScript, STATE_UUID, State, World};

/// One runner's pod.
#[expect(clippy::struct_excessive_bools, reason = "each is something that has happened or has not")]
pub(super) struct SimRunnerState {
    /// Whether it works beside a replica, and which.
    pub(super) replica: Option<usize>,
    pub(super) order: RunnerTask,
    /// The gate was opened, or there is none.
    pub(super) gone_ahead: bool,
    pub(super) ready_sent: bool,
    /// It desyncs, but does not copy.
    pub(super) held: bool,
    desynced_it: bool,
    pub(super) worked: bool,
    pub(super) news: VecDeque<(&'static str, RunnerNews)>,
}

/// Why a runner's effect did not do what it should.
#[derive(Debug, PartialEq, Eq)]
enum Broken {
    /// It failed, and the runner goes on.
    Failed,
    /// The runner was killed there.
    Killed,
}

impl SimRunnerState {
    pub(super) fn new(replica: Option<usize>, order: RunnerTask) -> Self {
        let gone_ahead = !matches!(order, RunnerTask::Copy(_));
        Self {
            replica,
            order,
            gone_ahead,
            ready_sent: false,
            held: false,
            desynced_it: false,
            worked: false,
            news: VecDeque::new(),
        }
    }

    pub(super) fn refuses(&self, script: RunnerScript) -> bool {
        script == RunnerScript::Refuses && matches!(self.order, RunnerTask::Copy(_))
    }
}

impl World {
    /// Lets a runner work as far as it can.
    pub(super) fn let_work(&self, name: &str) {
        let (order, replica) = {
            let mut state = self.lock();
            let script = state.script;
            let Some(runner) = state.runners.get_mut(name) else { return };
            if runner.worked || !(runner.gone_ahead || runner.refuses(script)) {
                return;
            }
            (runner.order.clone(), runner.replica)
        };
        if let (RunnerTask::Copy(order), Some(replica)) = (&order, replica) {
            return self.let_copy(name, order, replica);
        }
        self.mark_worked(name);
        let last_word = match &order {
            RunnerTask::Copy(_) => panic!("a copy is made beside a replica"),
            RunnerTask::Check(order) => self.check(order),
            RunnerTask::Keep(order) => self.keep(order),
            RunnerTask::Inventory(order) => self.take_stock(name, order),
            RunnerTask::Prove(order) => Ok(self.prove(order)),
            RunnerTask::Refill(_) => panic!("restores have a world of their own"),
        };
        self.end(name, last_word.ok());
    }

    fn mark_worked(&self, name: &str) {
        if let Some(runner) = self.lock().runners.get_mut(name) {
            runner.worked = true;
        }
    }

    /// Does one effect of a runner, unless the fault of this world is due.
    fn in_runner(&self, name: &str, act: impl FnOnce(&mut State)) -> Result<(), Broken> {
        let mut state = self.lock();
        let due = state.next_effect();
        let says = |what: &str| format!("runner: {name}{what}");
        match due {
            None => {}
            Some(Fault::Fail) => {
                state.journal.push(says(" FAILED"));
                return Err(Broken::Failed);
            }
            Some(Fault::DieBefore) => {
                state.journal.push(says(": killed before"));
                return Err(Broken::Killed);
            }
            Some(Fault::AnswerLost | Fault::DieAfter) => {
                act(&mut state);
                state.journal.push(says(": broke after"));
                return Err(if due == Some(Fault::DieAfter) { Broken::Killed } else { Broken::Failed });
            }
        }
        act(&mut state);
        state.journal.push(says(""));
        Ok(())
    }

    fn tell(&self, name: &str, heard: &'static str, kind: EventKind) {
        let time = self.time();
        let event = Event { schema: EVENT_SCHEMA, seq: 1, time, phase: Phase::Copy, runner: None, kind };
        if let Some(runner) = self.lock().runners.get_mut(name) {
            runner.news.push_back((heard, RunnerNews::Event(event)));
        }
    }

    fn end(&self, name: &str, last_word: Option<String>) {
        let how = if last_word.is_some() { "exit code 0" } else { "exit code 137 (SIGKILL)" }.to_owned();
        if let Some(runner) = self.lock().runners.get_mut(name) {
            runner.news.push_back(("hear that the runner ended", RunnerNews::Ended { last_word, how }));
        }
    }

    fn time(&self) -> Timestamp {
        self.lock().time()
    }

    /// Desyncs, waits while it is held, copies, rejoins, publishes, uploads.
    fn let_copy(&self, name: &str, order: &CopyOrder, replica: usize) {
        let script = self.lock().script;
        if script == RunnerScript::Refuses {
            self.mark_worked(name);
            return self.end(name, Some(failed("not enough room")));
        }
        let desynced_it = self.lock().runners.get(name).is_some_and(|runner| runner.desynced_it);
        if !desynced_it {
            if let Err(broken) = self.in_runner("desync ON", |state| state.desynced[replica] = true) {
                return self.copy_broke(name, replica, &broken);
            }
            if let Some(runner) = self.lock().runners.get_mut(name) {
                runner.desynced_it = true;
            }
        }
        if self.lock().runners.get(name).is_some_and(|runner| runner.held) {
            return;
        }
        self.mark_worked(name);
        let last_word = match script {
            RunnerScript::Killed => None,
            _ => self.copy(name, order, replica).ok(),
        };
        self.end(name, last_word);
    }

    /// What a runner whose copy broke does: it brings its replica back, when it lives.
    fn copy_broke(&self, name: &str, replica: usize, broken: &Broken) {
        self.mark_worked(name);
        if *broken == Broken::Killed {
            return self.end(name, None);
        }
        let last_word = self.rejoin(replica).map(|()| failed("the copy broke off"));
        self.end(name, last_word.ok());
    }

    /// Brings the replica back; a server that does not take OFF is told as a warning.
    fn rejoin(&self, replica: usize) -> Result<(), Broken> {
        let stuck = self.lock().script == RunnerScript::Stuck;
        match self.in_runner("desync OFF", |state| state.desynced[replica] &= stuck) {
            Err(Broken::Killed) => Err(Broken::Killed),
            Ok(()) | Err(Broken::Failed) => Ok(()),
        }
    }

    /// The stretch from the first byte to the last word.
    fn copy(&self, name: &str, order: &CopyOrder, replica: usize) -> Result<String, Broken> {
        let script = self.lock().script;
        let copied = match self.in_runner("copy", |_| {}) {
            Err(Broken::Killed) => return Err(Broken::Killed),
            copied => copied.is_ok() && script != RunnerScript::CopyFails,
        };
        self.rejoin(replica)?;
        if !copied {
            return Ok(failed("no space left on the volume"));
        }
        let (first, second) = match (&order.stores.local, &order.stores.s3) {
            (Some(_), s3) => (StoreName::Local, s3.is_some()),
            (None, _) => (StoreName::S3, false),
        };
        let mut report = self.report(order, first, second);
        let backup = report.backup.clone();
        let published = self.in_runner(&format!("publish {backup} on {}", first.word()), |state| {
            state.shelves.of(first).0.insert(backup.clone(), Stored::Whole);
        });
        match published {
            Err(Broken::Failed) => return Ok(failed("cannot sign the backup off")),
            published => published?,
        }
        if !second {
            return Ok(done(report, Vec::new()));
        }
        self.tell(name, "hear of the published backup", EventKind::Published { report: Box::new(report.clone()) });
        match self.upload(&backup, script) {
            Err(Broken::Killed) => Err(Broken::Killed),
            Err(Broken::Failed) => Ok(done(report, vec!["the upload broke off".to_owned()])),
            Ok(()) => {
                report.s3 = Presence::Present;
                Ok(done(report, Vec::new()))
            }
        }
    }

    fn upload(&self, backup: &BackupId, script: RunnerScript) -> Result<(), Broken> {
        self.in_runner(&format!("begin to upload {backup}"), |state| {
            state.shelves.s3.0.entry(backup.clone()).or_insert(Stored::Unfinished);
        })?;
        match script {
            RunnerScript::UploadFails => return Err(Broken::Failed),
            RunnerScript::KilledUploading => return Err(Broken::Killed),
            _ => {}
        }
        self.in_runner(&format!("publish {backup} in s3"), |state| {
            state.shelves.s3.0.insert(backup.clone(), Stored::Whole);
        })
    }

    fn report(&self, order: &CopyOrder, first: StoreName, second: bool) -> CopyReport {
        let state = self.lock();
        let wanted = &order.backup;
        // What the runner sees of the files may forbid an increment that the conductor wished for.
        let other_files = matches!(wanted, BackupId::Incremental { .. }) && state.files_replaced;
        let backup = if other_files { BackupId::Full(wanted.name().clone()) } else { wanted.clone() };
        let is_full = matches!(backup, BackupId::Full(_));
        let why = || other_files.then(|| "the files are not those of the parent".to_owned());
        let (local, s3) = match first {
            StoreName::Local if second => (Presence::Present, Presence::Unfinished),
            StoreName::Local => (Presence::Present, Presence::Absent),
            StoreName::S3 => (Presence::Absent, Presence::Present),
        };
        CopyReport {
            backup,
            started: state.time(),
            finished: state.time(),
            stream_bytes: 1,
            stream: file(),
            manifest: file(),
            position: Position { uuid: STATE_UUID.to_owned(), seqno: 1 },
            desync: DesyncTimes::default(),
            local,
            s3,
            full_because: order.full_because.clone().or_else(why),
            parent: order.parent.clone().filter(|_| !is_full),
            room: order.stores.local.is_some().then_some((10, 20)),
        }
    }

    /// Looks at every backup asked for, repairs and sets aside as ordered.
    fn check(&self, order: &CheckOrder) -> Result<String, Broken> {
        let mut report = CheckReport::default();
        for wanted in &order.backups {
            match self.check_one(wanted, order, &mut report) {
                Err(Broken::Failed) => return Ok(failed(&format!("cannot read {}", wanted.backup))),
                done => done?,
            }
        }
        let state = self.lock();
        let mut there = state.shelves.local.signed_off();
        there.extend(state.shelves.s3.signed_off().into_iter().filter(|_| order.stores.s3.is_some()));
        there.sort();
        there.dedup();
        report.unlisted = there.into_iter().filter(|backup| !order.known.contains(backup)).collect();
        Ok(done(report, Vec::new()))
    }

    fn check_one(&self, wanted: &ExpectedBackup, order: &CheckOrder, report: &mut CheckReport) -> Result<(), Broken> {
        let backup = &wanted.backup;
        let looks = [wanted.local && order.stores.local.is_some(), wanted.s3 && order.stores.s3.is_some()];
        let mut verdicts = [Verdict::Unseen; 2];
        self.in_runner(&format!("check {backup}"), |state| verdicts = look_at(&state.shelves, backup, looks, order))?;
        let bad = |verdict: Verdict| matches!(verdict, Verdict::Damaged | Verdict::Missing);
        for (verdict, store) in verdicts.iter().zip(["local", "s3"]).filter(|(verdict, _)| bad(**verdict)) {
            report.bad.push(format!("{}/manifest.json on {store}: {verdict:?}", backup.directory()));
            report.bad_count += 1;
        }
        if order.repair && bad(verdicts[0]) && verdicts[1].is_good() {
            let repaired = self.in_runner(&format!("repair {backup}"), |state| {
                state.shelves.local.0.insert(backup.clone(), Stored::Whole);
            });
            match repaired {
                Ok(()) => {
                    verdicts[0] = Verdict::Repaired;
                    report.repaired_count += 1;
                }
                Err(Broken::Failed) => {}
                Err(Broken::Killed) => return Err(Broken::Killed),
            }
        }
        let nowhere_good = !verdicts.iter().any(|verdict| verdict.is_good()) && verdicts.iter().any(|v| bad(*v));
        if nowhere_good && order.on_corrupt == OnCorrupt::Quarantine {
            let aside = self.in_runner(&format!("set {backup} aside"), |state| {
                if state.shelves.local.0.remove(backup).is_some() {
                    state.shelves.aside.push(backup.clone());
                }
            });
            match aside {
                Ok(()) => {
                    let quarantine = |v: Verdict| if bad(v) { Verdict::Quarantined } else { v };
                    verdicts = verdicts.map(quarantine);
                    report.quarantined_count += 1;
                }
                Err(Broken::Failed) => {}
                Err(Broken::Killed) => return Err(Broken::Killed),
            }
        }
        report.local.0.push(verdicts[0]);
        report.s3.0.push(verdicts[1]);
        if verdicts.iter().all(|verdict| *verdict == Verdict::Unseen || verdict.is_good()) {
            report.good.push(backup.clone());
            report.good_count += 1;
        }
        Ok(())
    }

    /// Removes, uploads, downloads and sweeps. Everything is tried.
    fn keep(&self, order: &KeepOrder) -> Result<String, Broken> {
        let mut report = KeepReport::default();
        let mut mark = |marks: &mut Marks, done: Result<(), Broken>, what: String| {
            let done = match done {
                Err(Broken::Killed) => return Err(Broken::Killed),
                done => done.is_ok(),
            };
            marks.0.push(done);
            if !done {
                report.failed.push(what);
                report.failed_count += 1;
            }
            Ok(())
        };
        let (mut removed, mut uploaded, mut downloaded) = (Marks::default(), Marks::default(), Marks::default());
        for backup in &order.remove {
            mark(&mut removed, self.remove_backup(backup, &order.stores), format!("remove {backup}"))?;
        }
        for (backups, from, to, marks) in [
            (&order.upload, StoreName::Local, StoreName::S3, &mut uploaded),
            (&order.download, StoreName::S3, StoreName::Local, &mut downloaded),
        ] {
            for backup in backups {
                mark(marks, self.carry(backup, from, to), format!("copy {backup} to {}", to.word()))?;
            }
        }
        for left in self.left_over(order) {
            let swept = self.in_runner(&format!("sweep {left} from s3"), |state| {
                state.shelves.s3.0.remove(&left);
            });
            if swept == Err(Broken::Killed) {
                return Err(Broken::Killed);
            }
        }
        let room = order.stores.local.is_some().then_some((10, 20));
        Ok(done(KeepReport { removed, uploaded, downloaded, room, ..report }, Vec::new()))
    }

    fn left_over(&self, order: &KeepOrder) -> Vec<BackupId> {
        let unwanted = |backup: &BackupId| order.stores.s3.is_some() && !order.wanted_uploads.contains(backup);
        self.lock().shelves.s3.unfinished().into_iter().filter(unwanted).collect()
    }

    fn remove_backup(&self, backup: &BackupId, stores: &Stores) -> Result<(), Broken> {
        let used = [(StoreName::Local, stores.local.is_some()), (StoreName::S3, stores.s3.is_some())];
        for store in used.into_iter().filter_map(|(store, used)| used.then_some(store)) {
            let (there, child) = {
                let mut state = self.lock();
                let lies = state.shelves.of(store);
                (lies.0.get(backup).copied(), lies.child_of(backup))
            };
            if there.is_none() {
                continue;
            }
            if child.is_some() {
                return Err(Broken::Failed);
            }
            if store == StoreName::S3 && there != Some(Stored::Unfinished) {
                self.in_runner(&format!("remove the manifest of {backup} from s3"), |state| {
                    state.shelves.s3.0.insert(backup.clone(), Stored::Unfinished);
                })?;
            }
            self.in_runner(&format!("remove {backup} from {}", store.word()), |state| {
                state.shelves.of(store).0.remove(backup);
            })?;
        }
        Ok(())
    }

    fn carry(&self, backup: &BackupId, from: StoreName, to: StoreName) -> Result<(), Broken> {
        if !self.lock().shelves.of(from).has_whole(backup) {
            return Err(Broken::Failed);
        }
        self.in_runner(&format!("begin to copy {backup} to {}", to.word()), |state| {
            // On the volume, unfinished work is out of sight.
            if to == StoreName::S3 {
                state.shelves.s3.0.entry(backup.clone()).or_insert(Stored::Unfinished);
            }
        })?;
        self.in_runner(&format!("publish {backup} on {}", to.word()), |state| {
            state.shelves.of(to).0.insert(backup.clone(), Stored::Whole);
        })
    }

    /// Whether the next event is lost on its way.
    fn is_lost(&self) -> bool {
        let mut state = self.lock();
        let lost = state.events_lost;
        state.events_lost = lost.saturating_sub(1);
        lost > 0
    }

    /// Tells every backup that is signed off.
    fn take_stock(&self, name: &str, order: &InventoryOrder) -> Result<String, Broken> {
        let looked = self.in_runner("look into the stores", |_| {});
        match looked {
            Err(Broken::Failed) => return Ok(failed("cannot read the store")),
            looked => looked?,
        }
        let mut counts = [None, None];
        let used = [(StoreName::Local, order.stores.local.is_some()), (StoreName::S3, order.stores.s3.is_some())];
        for (count, (store, _)) in counts.iter_mut().zip(used).filter(|(_, (_, used))| *used) {
            let there = self.lock().shelves.of(store).signed_off();
            *count = u32::try_from(there.len()).ok();
            for backup in there {
                let (local, s3) = match store {
                    StoreName::Local => (Presence::Present, Presence::Absent),
                    StoreName::S3 => (Presence::Absent, Presence::Present),
                };
                let entry = Entry { local, s3, ..Entry::default() };
                let found = FoundBackup {
                    store,
                    files: files(&backup),
                    backup,
                    entry,
                    trouble: None,
                    cluster: None,
                    manifest: None,
                };
                if self.is_lost() {
                    continue;
                }
                self.tell(name, "hear of a backup found", EventKind::Found { found: Box::new(found) });
            }
        }
        let room = order.stores.local.is_some().then_some((10, 20));
        Ok(done(InventoryReport { local_count: counts[0], s3_count: counts[1], s3_mark: None, room }, Vec::new()))
    }
}

fn look_at(shelves: &Shelves, backup: &BackupId, looks: [bool; 2], order: &CheckOrder) -> [Verdict; 2] {
    let good = if order.depth == Depth::Full { Verdict::Read } else { Verdict::Good };
    let judge = |stored: Option<&Stored>| match stored {
        Some(Stored::Whole) => good,
        Some(Stored::Damaged) => Verdict::Damaged,
        Some(Stored::Unfinished) | None => Verdict::Missing,
    };
    let verdict = |looks: bool, stored| if looks { judge(stored) } else { Verdict::Unseen };
    [verdict(looks[0], shelves.local.0.get(backup)), verdict(looks[1], shelves.s3.0.get(backup))]
}

fn done<R: serde::Serialize>(report: R, warnings: Vec<String>) -> String {
    serde_json::to_string(&Outcome::done(report, warnings)).unwrap()
}

fn failed(why: &str) -> String {
    let code = if why == "not enough room" { ExitCode::Refused } else { ExitCode::FailedInCluster };
    serde_json::to_string(&Outcome::<CopyReport>::failed(Failure::new(code, why), Vec::new())).unwrap()
}
