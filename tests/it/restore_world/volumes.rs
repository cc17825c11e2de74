//! The simulated data volumes, and what runners do to them.

use mariadb_backup::exit_code::ExitCode;
use mariadb_backup::model::galera::SavedState;
use mariadb_backup::model::order::{ProveOrder, RefillAct, RefillOrder, RunnerTask, StoreName};
use mariadb_backup::model::outcome::{Failure, Outcome};
use mariadb_backup::model::report::{ProveReport, ProvenLogins, VolumeReport};

use super::{NEW, RestoreWorld, State};

/// What lies in a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Empty,
    /// Neither the old data nor the new ones.
    Half,
    Whole {
        history: String,
        seqno: i64,
        safe: bool,
    },
}

/// How a runner comes to grief.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunnerFault {
    /// It can do nothing, and says so.
    Refuses,
    /// It gets half way, and says so.
    Fails,
    /// It gets half way, and is killed before it can say anything.
    Dies,
}

impl RunnerFault {
    pub(crate) const ALL: [Self; 3] = [Self::Refuses, Self::Fails, Self::Dies];
}

/// One data volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) data: Data,
    /// Data that were set aside.
    pub(crate) old: Option<Data>,
}

/// Where a proven copy lies that is on the volume of backups, not on one of a replica.
pub(super) const ON_STORE: i32 = -1;

impl RestoreWorld {
    /// Does what a runner was sent for, once, and returns its last word.
    pub(super) fn work_of(&self, name: &str) -> Option<String> {
        let mut state = self.lock();
        let task = state.runners.get(name)?.clone();
        if state.words.get(name).is_some_and(|word| *word != Some(true)) {
            let failure = Failure::new(ExitCode::FailedInCluster, "nobody told it to begin; nothing was touched");
            return Some(serde_json::to_string(&Outcome::<VolumeReport>::failed(failure, vec![])).unwrap());
        }
        let claim = state.claims_of.get(&format!("of {name}")).copied();
        let number = state.runner_runs;
        state.runner_runs += 1;
        if let Some((_, fault)) = state.runner_fault.filter(|(at, _)| *at == number) {
            state.journal.push(format!("{name}: {fault:?}"));
            return state.come_to_grief(&task, claim, fault);
        }
        Some(match task {
            RunnerTask::Prove(order) => serde_json::to_string(&state.prove(&order, claim)).unwrap(),
            RunnerTask::Refill(order) if state.no_room_to_lend && matches!(order.act, RefillAct::Lend { .. }) => {
                let failure = Failure::new(ExitCode::FailedInCluster, "/var/backup has 5 bytes left");
                serde_json::to_string(&Outcome::<VolumeReport>::failed(failure, vec![])).unwrap()
            }
            RunnerTask::Refill(order) if state.put_backs_fail > 0 && matches!(order.act, RefillAct::PutBack { .. }) => {
                state.put_backs_fail -= 1;
                let failure = Failure::new(ExitCode::FailedInCluster, "Read-only file system");
                serde_json::to_string(&Outcome::<VolumeReport>::failed(failure, vec![])).unwrap()
            }
            RunnerTask::Refill(order) => {
                let report = state.refill(&order, claim.unwrap());
                serde_json::to_string(&Outcome::done(report, vec![])).unwrap()
            }
            other => panic!("nobody sends {other:?} here"),
        })
    }
}

impl State {
    /// What a runner leaves that does not end its work, and its last word.
    fn come_to_grief(&mut self, task: &RunnerTask, claim: Option<i32>, fault: RunnerFault) -> Option<String> {
        if let (RunnerTask::Refill(order), Some(n), true) = (task, claim, fault != RunnerFault::Refuses) {
            self.half(order, n);
        }
        let failure = Failure::new(ExitCode::FailedInCluster, "Input/output error");
        let word = serde_json::to_string(&Outcome::<VolumeReport>::failed(failure, vec![])).unwrap();
        (fault != RunnerFault::Dies).then_some(word)
    }

    /// The first half of an act. What only gives a directory another name has none.
    fn half(&mut self, order: &RefillOrder, n: i32) {
        let has_room_beside = order.place.has_room_beside();
        let volume = self.volumes.get_mut(&n).unwrap();
        let is_new = matches!(&volume.data, Data::Whole { history, .. } if history == NEW);
        match &order.act {
            RefillAct::Switch { .. } if self.proven.is_some() && !is_new => {
                if has_room_beside {
                    volume.old = Some(volume.data.clone());
                }
                volume.data = if has_room_beside { Data::Empty } else { Data::Half };
            }
            RefillAct::Fill { .. } if !is_new => volume.data = Data::Half,
            RefillAct::Empty { history } if !is_new || history.is_none() => volume.data = Data::Half,
            RefillAct::PutBack { .. } if volume.old.is_some() => volume.data = Data::Empty,
            RefillAct::PutBack { .. } if is_new => volume.data = Data::Half,
            _ => {}
        }
    }

    fn prove(&mut self, order: &ProveOrder, claim: Option<i32>) -> Outcome<ProveReport> {
        if self.first_copy_is_damaged && order.from.contains(&StoreName::Local) {
            let failure = Failure::new(ExitCode::VerificationFailed, "backup.mbstream.zst is not what was recorded");
            return Outcome::failed(failure, vec![]);
        }
        let is_on_store = order.scratch.starts_with("/var/backup/");
        self.proven = Some(claim.filter(|_| !is_on_store).unwrap_or(ON_STORE));
        let report = ProveReport {
            backup: order.chain.last().unwrap().clone(),
            stored_bytes: 1,
            unpacked_bytes: self.unpacked_bytes,
            tables: 2,
            schemas: 1,
            server_version: "10.11".to_owned(),
            history_uuid: Some(NEW.to_owned()),
            position: Some(mariadb_backup::model::galera::Position { uuid: super::OLD.to_owned(), seqno: 100 }),
            logins: ProvenLogins::default(),
            query_result: None,
            unpack_millis: 1,
            prepare_millis: 1,
            boot_millis: 1,
            check_millis: 1,
        };
        Outcome::done(report, vec![])
    }

    /// Whether somebody serves what the replica has that a person chose.
    fn serves_what_was_chosen(&self) -> bool {
        self.chosen_debt()
            .is_some_and(|debt| self.pods.get(&debt.leader.ordinal).is_some_and(|of| of.serves == debt.history))
    }

    fn act(&mut self, order: &RefillOrder, n: i32) {
        let serves_new = self.pods.values().any(|server| server.serves.as_deref() == Some(NEW));
        let serves_it = serves_new || self.serves_what_was_chosen();
        let crowns = !self.is_in_doubt(n) || matches!(&order.act, RefillAct::Crown { state: Some(_) });
        let volume = self.volumes.get_mut(&n).unwrap();
        let is_new = matches!(&volume.data, Data::Whole { history, .. } if history == NEW);
        match &order.act {
            RefillAct::Look | RefillAct::Position => {}
            RefillAct::Switch { history, .. } => {
                assert_eq!(history, NEW);
                if is_new {
                    set_safe(&mut volume.data, true);
                } else if self.proven.is_none() {
                    self.broken.push("data were given up and no booted copy is there".to_owned());
                } else {
                    if order.place.has_room_beside() {
                        // Set aside once: what lies there by then is no longer the old data.
                        volume.old.get_or_insert(volume.data.clone());
                    }
                    // What lies on the same volume gets into place by its name.
                    self.proven = self.proven.filter(|n| *n == ON_STORE);
                    volume.data = Data::Whole { history: NEW.to_owned(), seqno: 3, safe: true };
                }
            }
            RefillAct::Lend { history, target, .. } => {
                assert_eq!(history, NEW);
                assert!(target.starts_with("/var/backup/"), "{target} is not on the volume of backups");
                if self.proven.is_none() {
                    self.broken.push("something was lent that was not proven".to_owned());
                }
                self.lent = true;
            }
            RefillAct::Fill { history, .. } => {
                assert_eq!(history, NEW);
                if !serves_new {
                    self.broken.push(format!("volume {n} was filled and nobody serves the restored data"));
                }
                if !self.lent && self.proven != Some(ON_STORE) {
                    self.broken.push(format!("volume {n} was filled from nothing"));
                }
                if !is_new {
                    volume.data = Data::Whole { history: NEW.to_owned(), seqno: 3, safe: false };
                }
            }
            RefillAct::Empty { history } => {
                if !is_new || history.is_none() {
                    if !serves_it {
                        self.broken.push(format!("volume {n} was emptied and nobody serves what it would get"));
                    }
                    volume.data = Data::Empty;
                }
            }
            RefillAct::PutBack { .. } => match volume.old.take() {
                Some(old) => volume.data = old,
                None if is_new || volume.data == Data::Half => volume.data = Data::Empty,
                None => {}
            },
            RefillAct::SetAside => {
                if volume.old.is_none() {
                    volume.old = Some(std::mem::replace(&mut volume.data, Data::Empty));
                }
            }
            // Nobody starts a cluster by a file that names no history.
            RefillAct::Crown { .. } => set_safe(&mut volume.data, crowns || self.named.contains(&n)),
            RefillAct::Uncrown => set_safe(&mut volume.data, false),
            RefillAct::Tidy { keep_old_data, scratch, .. } => {
                self.lent &= scratch.is_none();
                volume.old = volume.old.take().filter(|_| *keep_old_data);
                self.proven = None;
            }
        }
    }

    /// Whether what a replica has need not be whole.
    pub(super) fn is_in_doubt(&self, n: i32) -> bool {
        self.in_doubt.contains(&n)
            && self.volumes[&n].old.is_none()
            && matches!(self.volumes[&n].data, Data::Whole { .. })
    }

    fn refill(&mut self, order: &RefillOrder, n: i32) -> VolumeReport {
        let writes = !matches!(order.act, RefillAct::Look | RefillAct::Tidy { .. } | RefillAct::Lend { .. });
        if writes && self.pods.contains_key(&n) {
            self.broken.push(format!("{:?} on volume {n} while db-{n} holds it", order.act));
        }
        self.act(order, n);
        self.named.extend(matches!(&order.act, RefillAct::Crown { state: Some(_) }).then_some(n));
        let volume = &self.volumes[&n];
        let state = match &volume.data {
            // Its file says nothing; the server itself is asked for a position only.
            Data::Whole { .. } if self.is_in_doubt(n) && order.act != RefillAct::Position => {
                Some(SavedState { uuid: super::OLD.replace(|c| c != '-', "0"), seqno: -1, safe_to_bootstrap: false })
            }
            Data::Whole { history, seqno, safe } => {
                Some(SavedState { uuid: history.clone(), seqno: *seqno, safe_to_bootstrap: *safe })
            }
            Data::Empty | Data::Half => None,
        };
        VolumeReport {
            has_data: state.is_some(),
            is_empty: state.is_none(),
            state,
            in_doubt: self.is_in_doubt(n),
            set_aside: volume.old.is_some(),
            data_bytes: self.data_bytes,
            free_bytes: self.free_bytes,
            total_bytes: 20 << 30,
            ..VolumeReport::default()
        }
    }
}

fn set_safe(data: &mut Data, is_safe: bool) {
    if let Data::Whole { safe, .. } = data {
        *safe = is_safe;
    }
}
